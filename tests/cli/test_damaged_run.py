"""Commands on runs and datasets whose files were changed: one sentence with file and problem, or a right result."""

import json
import shutil
import zipfile

import numpy as np
import pytest


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


@pytest.fixture
def data(tiny_data, tmp_path):
    return shutil.copytree(tiny_data, tmp_path / "data")


def assert_one_sentence(done, file):
    assert done.code == 2, done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("error")]
    assert str(file) in line
    assert "--debug" not in line


DEEP = '{"a":' * 5000 + "1" + "}" * 5000


@pytest.mark.parametrize("content", [DEEP, "[]", "null", "{", '{"recall@1": ' + "1" * 400 + "}"], ids=lambda c: c[:12])
def test_a_report_shows_what_is_wrong_with_a_result(coarsecon, run, tmp_path, content):
    (run / "results").mkdir(exist_ok=True)
    (run / "results" / "retrieval.json").write_text(content)
    (run / "environment.json").write_text(content)
    done = coarsecon("report", run, "--out", tmp_path / "report.html")
    assert done.code == 0, done.err
    page = (tmp_path / "report.html").read_text()
    assert "retrieval.json" in page
    assert "environment.json" in page


@pytest.mark.parametrize("content", [DEEP, "[]", "null", "{", '{"backbone": 1}'], ids=lambda c: c[:12])
def test_an_encoder_card_that_is_none_is_named(coarsecon, run, content):
    (run / "encoder.json").write_text(content)
    assert_one_sentence(coarsecon("retrieve", run, "--device", "cpu"), run / "encoder")


@pytest.mark.parametrize("content", ["method: &m {name: supce, a: *m}\n", "data: {path: -1}\n", "method: {name: 3}\n"])
def test_a_config_file_that_is_none_is_named(coarsecon, run, content):
    (run / "config.yaml").write_text(content)
    for command in (["retrieve", run, "--device", "cpu"], ["pretrain", "--out", run, "--resume"]):
        done = coarsecon(*command)
        assert done.code == 2, done.err
        assert "--debug" not in done.err
        assert "WARNING" not in done.err


def zipped(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", "x")


@pytest.mark.parametrize(
    "damage",
    [
        zipped,
        lambda file: np.savez(file.open("wb"), a=np.zeros(3)),
        lambda file: np.save(file, np.load(file).astype(np.float64)),
        lambda file: np.save(file, np.load(file)[:, :0]),
        lambda file: np.save(file, np.load(file)[:, 0]),
        lambda file: file.write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + b"(" * 118),
        lambda file: file.write_bytes(file.read_bytes()[:-5]),
    ],
    ids=["zip", "npz", "float64", "no-columns", "1d", "header", "cut"],
)
def test_damaged_features_are_made_again(coarsecon, run, damage):
    first = coarsecon("retrieve", run, "--device", "cpu", "--json", "-").out
    for file in (run / "features").glob("*.npy"):
        damage(file)
    done = coarsecon("retrieve", run, "--device", "cpu", "--json", "-")
    assert done.code == 0, done.err
    assert done.out == first


@pytest.mark.parametrize(
    "change",
    [
        {"splits": {}}, {"levels": {}}, {"size": -1}, {"size": 10**30}, {"mean": [0, 0, float("inf")]}, {"name": [[]]},
        {"splits": {"../x": {"count": 1, "checksum": ""}}}, {"splits": {"train": {"count": -3, "checksum": ""}}},
        {"splits": {"train": {"count": 10**18, "checksum": ""}}},
    ],
    ids=str,
)  # fmt: skip
def test_a_description_of_a_dataset_that_is_none_is_named(coarsecon, run, data, change):
    file = data / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert_one_sentence(coarsecon("retrieve", run, "--data", data, "--device", "cpu"), file)


def test_a_broken_log_is_a_warning_where_it_is_not_needed(coarsecon, run):
    (run / "metrics.jsonl").write_text("[1]\n[2]\n")
    done = coarsecon("retrieve", run, "--device", "cpu")
    assert done.code == 0, done.err
    assert f"WARNING: {run / 'metrics.jsonl'}, line 1: not a row of the log" in done.err
    assert_one_sentence(coarsecon("pretrain", "--out", run, "--resume", "--device", "cpu"), run / "metrics.jsonl")
