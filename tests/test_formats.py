"""What the earliest version wrote opens today, and what a newer one wrote is refused with the remedy."""

import json
import shutil
from pathlib import Path

import pytest

from coarsecon.run.folder import FORMAT_VERSION

FORMATS = Path(__file__).parent / "formats"
"""Written by version 0.1.0 in format 1, before runs had a number; never to be written again."""


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


def test_the_examples_are_small():
    assert sum(file.stat().st_size for file in FORMATS.rglob("*")) < 100_000
