"""`coarsecon cluster`: numbers, the table that can be prepared from again, the pictures, and wrong input."""

import csv
import json
from collections import Counter

import pytest
from PIL import Image

QUICK = ("--device", "cpu", "--restarts", 1, "--max-k", 3)
NAME = "cluster-k=4-max_k=3-restarts=1"


def test_clusters_of_the_training_images(coarsecon, tiny_run, tmp_path):
    path = tmp_path / "cluster.json"
    done = coarsecon("cluster", tiny_run, *QUICK, "--k", 4, "--images", 2, "--json", path)
    assert done.code == 0, done.err
    assert "level stripes" in done.out
    found = json.loads(path.read_text())
    assert {"nmi", "ari", "accuracy"} <= found["fine"].keys()
    assert (found["fine"]["images"], found["fine"]["classes"], found["fine"]["clusters"]) == (96, 16, 16)
    assert [row["clusters"] for row in found["classes"]] == [4] * 4
    saved = json.loads((tiny_run / "results" / f"{NAME}.json").read_text())
    assert (saved["split"], saved["fine"]) == ("train", found["fine"])
    with (tiny_run / "results" / f"{NAME}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 96
    assert rows[0]["proposed"] == "level stripes-1"
    shown = sum(min(2, size) for size in Counter(row["proposed"] for row in rows).values())
    assert Image.open(tiny_run / "figures" / f"{NAME}.png").size[0] > 400
    assert (tiny_run / "figures" / f"{NAME}.html").read_text().count("<img") == shown


@pytest.mark.parametrize("k", ["auto", "oracle"])
def test_another_split_and_other_places(coarsecon, tiny_run, tmp_path, k):
    places = [word for kind in ("csv", "png", "html") for word in (f"--{kind}", tmp_path / f"out.{kind}")]
    words = ("cluster", tiny_run, *QUICK, "--k", k, "--split", "test", "--model", "mixture", *places, "--json", "-")
    done = coarsecon(*words)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["k"], found["fine"]["images"]) == (k, 48)
    assert all(1 <= row["clusters"] <= 4 for row in found["classes"])
    assert all(("evidence" in row) == (k == "auto") for row in found["classes"])
    assert all((tmp_path / f"out.{kind}").exists() for kind in ("csv", "png", "html"))
    assert coarsecon(*words).out == done.out


def test_names_written_into_the_table_become_the_fine_labels_of_a_dataset(coarsecon, tiny_run, tmp_path):
    from coarsecon.data.prepared.store import open_dataset

    table = tmp_path / "reviewed.csv"
    done = coarsecon("cluster", tiny_run, *QUICK, "--k", 2, "--csv", table)
    assert done.code == 0, done.err
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["fine"] = row["proposed"].replace("rings-1", "wide rings")
        row["path"] += ".png"
        Image.new("RGB", (16, 16), (9, 9, 9)).save(tmp_path / row["path"])
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    done = coarsecon("prepare", "folder", "--table", table, "--size", 16, "--out", tmp_path / "data")
    assert done.code == 0, done.err
    levels = open_dataset(tmp_path / "data").info.levels
    assert "wide rings" in levels["fine"]
    assert len(levels["fine"]) == 8


@pytest.mark.parametrize("form", ["commas", "semicolons", "sep line", "utf-16 tabs", "windows"])
def test_a_half_reviewed_table_comes_back_from_a_spreadsheet(coarsecon, tiny_run, tmp_path, form):
    from coarsecon.data.prepared.store import open_dataset

    table = tmp_path / "reviewed.csv"
    assert coarsecon("cluster", tiny_run, *QUICK, "--k", 2, "--csv", table).code == 0
    with table.open(newline="") as file:
        head, *rows = csv.reader(file)
    fine = head.index("fine")
    for number, row in enumerate(rows):
        row[0] += ".png"
        row[fine] = f"{row[1]}: größer" if number % 2 else ""
        Image.new("RGB", (16, 16), (9, 9, 9)).save(tmp_path / row[0])
    separator = {"commas": ",", "utf-16 tabs": "\t"}.get(form, ";")
    with table.open(
        "w", newline="", encoding={"utf-16 tabs": "utf-16", "windows": "cp1252"}.get(form, "utf-8")
    ) as file:
        file.write("sep=;\r\n" if form == "sep line" else "")
        writer = csv.writer(file, delimiter=separator)
        writer.writerows([*row, "", ""] for row in [head, *rows, *3 * [[""] * len(head)]])
    done = coarsecon("prepare", "folder", "--table", table, "--size", 16, "--out", tmp_path / "data")
    assert done.code == 0, done.err
    assert "column fine: 48 of 96 labels are missing and stay unknown (48 empty)" in done.err
    train = open_dataset(tmp_path / "data").split("train")
    assert len(train) == 96
    assert (train.labels["fine"] >= 0).tolist() == 48 * [False, True]
    assert set(open_dataset(tmp_path / "data").info.levels["fine"]) == {f"{row[1]}: größer" for row in rows}


def test_a_single_cluster_in_every_class_is_no_success(coarsecon, tiny_run, monkeypatch):
    monkeypatch.setattr("coarsecon.discovery.number.UNSTRUCTURED", 9.0)
    done = coarsecon("cluster", tiny_run, *QUICK)
    assert done.code == 0, done.err
    reported = " ".join(done.err.split())
    assert (
        "no stable split was found: every coarse class is one cluster; set k to a number to cluster anyway" in reported
    )
    assert "measures the agreement of the coarse labels" in reported
    assert "no stable split" not in coarsecon("cluster", tiny_run, *QUICK, "--k", 1).err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--k", "0"], "--k: 0 is below 1"),
        (["--k", "many"], "--k: pass a number, a range such as 3-8, oracle, or auto"),
        (["--split", "val"], "no split val"),
        (["--within", "genus"], "no 'genus' labels"),
        (["--within", "fine", "--k", "oracle"], "oracle"),
        (["--model", "other"], "clustering 'other': not found"),
        (["--k", "5-3"], "--k: 5-3 is not a range"),
        (["--settings", "epoch=3"], "settings.epoch"),
        (["--model", "agglomerative", "--restarts", "2"], "settings.restarts"),
        (["--total", "900"], "--total: 900 clusters are not possible"),
    ],
)
def test_wrong_input_is_told(coarsecon, tiny_run, arguments, says):
    done = coarsecon("cluster", tiny_run, *arguments)
    assert done.code == 2
    assert says in done.err
