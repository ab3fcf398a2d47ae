"""`coarsecon review`: starts from the proposed clusters, continues, exports, and explains what is missing."""

import csv
import json
import shutil

import pytest
from support.serving import Ending

from coarsecon.review.folder import journal_path
from coarsecon.review.journal import journal_of
from coarsecon.run.folder import RunFolder

pytest.importorskip("uvicorn")

QUICK = ("--device", "cpu", "--workers", 0, "--port", 0)


@pytest.fixture
def run(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("coarsecon.serve.server.make_server", Ending)
    shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("cluster*"))
    return tmp_path / "run"


@pytest.fixture
def clustered(run, coarsecon):
    assert coarsecon("cluster", run, "--device", "cpu", "--k", 2, "--restarts", 1).code == 0
    return run


def test_a_review_starts_continues_and_is_exported(coarsecon, clustered, tmp_path):
    done = coarsecon("review", clustered, *QUICK, "--who", "anna")
    assert done.code == 0, done.err
    assert "new review reviewed of the clusters in" in done.err
    assert "0 changes to 96 images of train" in " ".join(done.err.split())
    assert done.out.startswith("http://127.0.0.1:")
    path = journal_path(RunFolder(clustered), "reviewed")
    line = {"op": "name", "cluster": 0, "name": "wide", "version": 0, "who": "anna", "time": "t"}
    path.write_text(path.read_text() + json.dumps(line) + "\n")
    again = coarsecon("review", clustered, *QUICK)
    assert "1 changes" not in again.err
    assert "1 change to 96 images" in " ".join(again.err.split())
    with journal_of(path):
        done = coarsecon("review", clustered, "--export", tmp_path / "labels.csv")
    assert done.code == 0, done.err
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 96
    assert {row["label"] for row in rows} == {"", "wide"}


def test_exported_labels_become_the_fine_labels_of_a_dataset(coarsecon, clustered, tmp_path):
    from PIL import Image

    from coarsecon.data.prepared.store import open_dataset

    assert coarsecon("review", clustered, *QUICK).code == 0
    path = journal_path(RunFolder(clustered), "reviewed")
    lines = [
        {"op": "name", "cluster": cluster, "name": name, "version": version, "who": "anna", "time": "t"}
        for version, (cluster, name) in enumerate([(0, "wide"), (1, "=narrow"), (2, "wide")])
    ]
    path.write_text(path.read_text() + "".join(json.dumps(line) + "\n" for line in lines))
    assert coarsecon("review", clustered, "--export", tmp_path / "labels.csv").code == 0
    with (tmp_path / "labels.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["path"] += ".png"
        Image.new("RGB", (16, 16), (9, 9, 9)).save(tmp_path / row["path"])
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    words = ["--table", tmp_path / "labels.csv", "--size", 16, "--out", tmp_path / "data"]
    done = coarsecon("prepare", "folder", *words)
    assert done.code == 0, done.err
    dataset = open_dataset(tmp_path / "data")
    assert len(dataset.info.levels["fine"]) == 3
    assert "=narrow" in dataset.info.levels["fine"]
    fine = dataset.split("train").labels["fine"]
    assert int((fine >= 0).sum()) == sum(bool(row["label"]) for row in rows)


def test_without_clusters_the_command_that_makes_them_is_named(coarsecon, run):
    done = coarsecon("review", run, *QUICK)
    assert done.code == 2
    assert "has no proposed clusters to review; `coarsecon cluster" in done.err
    assert not (run / "review").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--export", "x.csv"], "has no review reviewed"),
        (["--name", "../x"], "--name: '../x' is not a name"),
        (["--proposal", "nowhere.csv"], "nowhere.csv: no such file"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_wrong_usage_ends_with_code_2_and_one_line(coarsecon, clustered, arguments, says):
    done = coarsecon("review", clustered, *QUICK, *arguments)
    assert done.code == 2
    assert says in done.err
    assert sum(line.startswith("error:") for line in done.err.splitlines()) == 1


def test_an_open_review_is_refused_to_a_second_process(coarsecon, clustered):
    assert coarsecon("review", clustered, *QUICK).code == 0
    with journal_of(journal_path(RunFolder(clustered), "reviewed")):
        done = coarsecon("review", clustered, *QUICK)
    assert done.code == 2
    assert "another process has this review open" in done.err


def test_another_table_does_not_replace_the_one_of_an_existing_review(coarsecon, clustered):
    assert coarsecon("review", clustered, *QUICK).code == 0
    table = next((clustered / "results").glob("cluster*.csv"))
    done = coarsecon("review", clustered, *QUICK, "--proposal", table)
    assert done.code == 2
    assert "started from another table" in done.err
    done = coarsecon("review", clustered, *QUICK, "--proposal", table, "--name", "second")
    assert done.code == 0, done.err
    assert "--name second --export second.csv" in done.err
