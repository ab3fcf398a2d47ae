"""`coarsecon labels`: labels come in as tables, are listed and undone, and go out as tables."""

import json
from pathlib import Path

import pytest
from tiny import write_tiny_dataset

from coarsecon.data.prepared.store import open_dataset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_text("path,label\ntrain-000000,oak\ntrain-000001,elm\n")
    return write_tiny_dataset(tmp_path / "data", train=12, test=6)


def test_labels_are_imported_listed_undone_and_exported(coarsecon, data, tmp_path):
    table = tmp_path / "table.csv"
    done = coarsecon("labels", "import", data, table, "--name", "reviewed", "--who", "Ann", "--note", "day 1")
    assert done.code == 0, done.err
    assert "reviewed@1: 2 added; 2 images of 2 classes have a label" in done.err
    table.write_text("path,label\ntrain-000000,ash\ntrain-000002,elm\n")
    done = coarsecon("labels", "import", data, table, "--name", "reviewed", "--who", "Bob", "--json", "-")
    facts = {"name": "reviewed", "version": 2, "labeled": 3, "classes": ["elm", "ash"]}
    assert json.loads(done.out) == facts | {"added": 1, "changed": 1, "removed": 0}
    log = json.loads(coarsecon("labels", "log", data, "reviewed", "--json", "-").out)
    assert [(row["entry"], row["who"], row["what"], row["note"]) for row in log] == [
        (1, "Ann", "label 2 images of 2 classes", "day 1"), (2, "Bob", "label 2 images of 2 classes", "")
    ]  # fmt: skip
    levels = json.loads(coarsecon("labels", "ls", data, "--json", "-").out)
    assert levels[2] | {"when": ""} == {
        "name": "reviewed", "version": 2, "classes": 2, "labeled": {"train": 3, "test": 0}, "who": "Bob", "when": ""
    }  # fmt: skip
    done = coarsecon("labels", "undo", data, "reviewed", "--who", "Ann")
    assert "reviewed@3: 1 changed, 1 removed; 2 images of 2 classes have a label" in done.err
    assert "(undone by 3)" in coarsecon("labels", "log", data, "reviewed").out
    assert "reviewed" in coarsecon("labels", "ls", data).out
    for suffix in ("csv", "tsv", "parquet"):
        out = tmp_path / f"out.{suffix}"
        assert coarsecon("labels", "export", data, "reviewed", "--out", out, "--unlabeled").code == 0
        done = coarsecon("labels", "import", data, out, "--name", f"from_{suffix}", "--who", "Ann")
        assert done.code == 0, done.err
        dataset = open_dataset(data)
        assert dataset.info.levels[f"from_{suffix}"] == ["oak", "elm"]
        assert dataset.split("train").labels[f"from_{suffix}"].equal(dataset.split("train").labels["reviewed"])


def test_classes_are_renamed_and_removed(coarsecon, data, tmp_path):
    coarsecon("labels", "import", data, tmp_path / "table.csv", "--name", "reviewed")
    assert coarsecon("labels", "rename", data, "reviewed", "oak", "holm oak").code == 0
    assert open_dataset(data).info.levels["reviewed"] == ["holm oak", "elm"]
    assert "1 removed" in coarsecon("labels", "remove", data, "reviewed", "elm").err
    log = json.loads(coarsecon("labels", "log", data, "reviewed", "--json", "-").out)
    assert [row["what"] for row in log[1:]] == ["rename oak to holm oak", "remove elm"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["import", "table.csv", "--name", "fine"], "--name: {data} already has fine labels, which are not replaced"),
        (["import", "table.csv", "--name", "a b"], "--name: 'a b' cannot be the name of a label column"),
        (["import", "none.csv", "--name", "reviewed"], "none.csv: no such file"),
        (["import", "table.csv", "--name", "reviewed", "--label", "kind"], "no column kind; it has path, label"),
        (["export", "other"], "has no 'other' labels; it has coarse, fine"),
        (["export", "fine", "--out", "fine.xlsx"], "fine.xlsx: its suffix names no known format"),
        (["log", "reviewed"], "no label column 'reviewed'; import a table of labels first"),
        (["undo", "reviewed"], "no label column 'reviewed'"),
    ],
)
def test_mistakes_are_errors_of_one_line(coarsecon, data, monkeypatch, words, message):
    monkeypatch.chdir(data.parent)
    done = coarsecon("labels", words[0], data, *words[1:])
    assert done.code == 2
    assert message.format(data=data) in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (data / "labels").exists()


def test_preparing_again_does_not_replace_a_dataset_with_labels(coarsecon, data, tmp_path):
    coarsecon("labels", "import", data, tmp_path / "table.csv", "--name", "reviewed")
    done = coarsecon("prepare", "toy", "--out", data, "--overwrite")
    assert done.code == 2
    assert "labels/reviewed/journal.jsonl" in done.err
    assert open_dataset(data).columns["reviewed"].version == 1
