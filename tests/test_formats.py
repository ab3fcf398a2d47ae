"""What the earliest version wrote opens today, and what a newer one wrote is refused with the remedy."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import coarsecon as coarsecon_package
from coarsecon.run.facade import Run
from coarsecon.run.folder import FORMAT_VERSION
from coarsecon.run.tuned import read_tuning
from coarsecon.run.tuning import Reranking

FORMATS = Path(__file__).parent / "formats"
"""Written in format 1: the dataset and `run-1` by version 0.1.0, before runs had a number; `combined-1` by the first
version with `combined.json` and `tuned.json`. Never to be written again."""


@pytest.fixture
def earliest(tmp_path, monkeypatch) -> Path:
    """A working directory with the prepared dataset and the run of format 1."""
    shutil.copytree(FORMATS, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old"


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_a_prepared_dataset_of_format_1_is_whole(earliest, coarsecon):
    assert json.loads((earliest / "dataset-1" / "dataset.json").read_text())["format_version"] == 1
    done = coarsecon("data", "check", "dataset-1", "--workers", "1", "--json", "-")
    assert done.code == 0, done.err
    assert {name: split["count"] for name, split in json.loads(done.out)["splits"].items()} == {"train": 16, "test": 8}


def test_a_run_of_format_1_is_measured_as_it_was(earliest, coarsecon):
    assert "format_version" not in json.loads((earliest / "run-1" / "environment.json").read_text())
    done = coarsecon("retrieve", "run-1", "--device", "cpu", "--json", "-")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["fine"]["queries"], found["fine"]["classes"], found["coarse"]["classes"]) == (8, 4, 2)
    logged = [json.loads(row) for row in (earliest / "run-1" / "metrics.jsonl").read_text().splitlines()]
    seen = next(row for row in reversed(logged) if "fine_recall@1" in row)
    for level in ("fine", "coarse"):  # other processors round otherwise, which may turn one of the eight queries
        assert found[level]["recall@1"] == pytest.approx(seen[f"{level}_recall@1"], abs=0.13)
    done = coarsecon("report", "run-1", "--out", "report.html")
    assert done.code == 0, done.err
    assert "supce" in (earliest / "report.html").read_text()


def test_a_dataset_of_format_1_can_be_trained_on(earliest, coarsecon):
    done = coarsecon("pretrain", "--config", "run-1/config.yaml", "--epochs", "1", "--out", "new", "--device", "cpu")
    assert done.code == 0, done.err
    assert json.loads((earliest / "new" / "environment.json").read_text())["format_version"] == FORMAT_VERSION


@pytest.mark.parametrize("command", [["retrieve", "run-1"], ["pretrain", "--out", "run-1", "--resume"]], ids=" ".join)
def test_a_run_of_a_newer_format_is_refused(earliest, coarsecon, command):
    edit(earliest / "run-1" / "environment.json", format_version=FORMAT_VERSION + 1, packages={"coarsecon": "9.0"})
    done = coarsecon(*command)
    assert done.code == 2
    assert f"format {FORMAT_VERSION + 1}, made by coarsecon 9.0" in done.err
    assert "pip install -U coarsecon" in done.err


@pytest.mark.parametrize("version", ["1", 0, None])
def test_a_run_with_no_sound_version_is_refused(earliest, coarsecon, version):
    edit(earliest / "run-1" / "environment.json", format_version=version)
    done = coarsecon("retrieve", "run-1")
    assert done.code == 2
    assert "is no format version" in done.err


def test_a_run_whose_environment_is_no_json_is_measured_all_the_same(earliest, coarsecon):
    (earliest / "run-1" / "environment.json").write_text("{")
    done = coarsecon("retrieve", "run-1")
    assert done.code == 0, done.err


def test_a_combined_run_of_format_1_has_the_features_of_its_parts(earliest, coarsecon):
    done = coarsecon("retrieve", "combined-1", "--device", "cpu", "--json", "-")
    assert done.code == 0, done.err
    assert json.loads(done.out)["fine"]["queries"] == 8
    run, parts = load("combined-1"), [load(f"combined-1/parts/{number}") for number in (1, 2)]
    weighted = np.hstack([weight * part.features("test").numpy() for weight, part in zip((1, 2), parts, strict=True)])
    expected = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
    np.testing.assert_allclose(run.features("test").numpy(), expected, atol=1e-6)


def test_a_tuning_of_format_1_is_used(earliest, coarsecon):
    tuning = read_tuning(load("combined-1"))
    assert (tuning.weights, tuning.flip, tuning.zooms, tuning.transform) == ([2, 1], True, [1, 0.85], "center")
    assert tuning.reranking == Reranking(k1=5, k2=2, weight=0.3)
    Image.fromarray(load("combined-1").dataset.split("test").image(0)).save("query.png")
    done = coarsecon("retrieve", "combined-1", "--query", "query.png", "--tuned", "--device", "cpu")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("combined.json", ["retrieve", "combined-1"]),
        ("tuned.json", ["retrieve", "combined-1", "--query", "query.png", "--tuned"]),
    ],
)
def test_a_file_of_a_newer_format_is_refused(earliest, coarsecon, name, command):
    Image.new("RGB", (8, 8)).save("query.png")
    edit(earliest / "combined-1" / name, format_version=2)
    done = coarsecon(*command, "--device", "cpu")
    assert done.code == 2
    assert name in done.err.splitlines()[-1]
    assert "again" in done.err.splitlines()[-1]


def load(folder: str) -> Run:
    return coarsecon_package.load(folder, device="cpu", workers=0)


def test_the_examples_are_small():
    assert sum(file.stat().st_size for file in FORMATS.rglob("*") if file.is_file()) < 100_000
