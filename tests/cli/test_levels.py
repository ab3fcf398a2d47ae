"""Three label levels from end to end: prepare, check, pretrain on the middle one, evaluate, cluster and report."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_settings

from coarsecon.data.prepared.levels import dataset_hierarchy
from coarsecon.data.prepared.store import open_dataset
from coarsecon.data.sources.toy import COARSE, FINE, draw
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec

DEPARTMENTS = ("striped", "striped", "patterned", "patterned")
COUNTS = {"train": 96, "test": 48}
LEVELS = ["coarse", "print", "fine"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of toy images with a table of their department, print and variant."""
    root = tmp_path_factory.mktemp("photos")
    rows = []
    for place, (split, count) in enumerate(COUNTS.items()):
        fine = np.arange(count) % 16
        for i, (label, pixels) in enumerate(zip(fine, draw(fine, np.random.default_rng(place)), strict=True)):
            Image.fromarray(pixels.transpose(1, 2, 0)).save(root / f"{split}{i}.png")
            rows.append([f"{split}{i}.png", split, DEPARTMENTS[label // 4], COARSE[label // 4], FINE[label], i % 3])
    with (root / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "split", "department", "print", "variant", "shelf"], *rows])
    return root


def prepared(coarsecon: Callable[..., Any], photos: Path, out: Path, *options: object) -> Any:
    columns = ("--coarse", "department", "--fine", "variant", "--label-columns", "print")
    done = coarsecon(
        "prepare", "folder", "--table", photos / "table.csv", "--size", 32, *columns, "--out", out, *options
    )
    assert done.code == 0, done.err
    return done


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A run that was trained on the middle level for a few steps."""
    from coarsecon.data.prepare.dataset import prepare_dataset

    data = tmp_path_factory.mktemp("levels") / "data"
    options = {"coarse": "department", "fine": "variant", "label_columns": ("print",)}
    prepare_dataset("folder", data, table=photos / "table.csv", size=32, workers=1, **options)
    settings = tiny_settings(data, data={"labels": "print"}, schedule={"epochs": 1, "warmup_epochs": 0})
    return pretrain(build_run_spec(settings), data.parent / "run").root


def test_columns_of_a_table_become_a_hierarchy(coarsecon: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    done = prepared(coarsecon, photos, tmp_path / "data", "--label-columns", "shelf")
    text = " ".join(done.err.split())
    assert "Label levels from coarsest to finest: coarse (2 classes), print (4 classes), fine (16 classes)." in text
    assert "The level shelf is not part of the hierarchy, as it neither refines coarse nor is refined by it" in text
    assert list(dataset_hierarchy(open_dataset(tmp_path / "data")).levels) == LEVELS


def changed(photos: Path, image: str, before: str, after: str) -> Path:
    """A copy of the table in which the line of one image is changed."""
    lines = (photos / "table.csv").read_text().splitlines()
    lines = [line.replace(before, after) if line.startswith(f"{image}.png") else line for line in lines]
    table = photos / f"{image}.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def test_contradicting_images_are_reported(coarsecon: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    table = changed(photos, "train5", "upright stripes", "rings")  # of the variant "narrow upright stripes, plain"
    options = ("--coarse", "print", "--label-columns", "department,shelf")
    done = coarsecon("prepare", "folder", "--table", table, "--size", 32, *options, "--out", tmp_path / "data")
    assert done.code == 0, done.err
    checked = coarsecon("data", "check", tmp_path / "data", "--json", tmp_path / "check.json")
    assert checked.code == 0
    example = "train/train5.png is department striped, but most images of coarse rings are patterned"
    for text in (done.err, checked.err):
        assert f"1 of 144 images contradict the hierarchy: {example}." in " ".join(text.split())
    found = json.loads((tmp_path / "check.json").read_text())["hierarchy"]
    assert found["levels"] == ["department", "coarse", "fine"]
    assert found["parents"]["coarse"] == {
        "checks": "patterned",
        "level stripes": "striped",
        "rings": "patterned",
        "upright stripes": "striped",
    }
    pair = {"finer": "coarse", "coarser": "department", "images": 144, "contradicting": ["train/train5.png"]}
    assert found["contradictions"] == [pair]
    assert found["outside"]["shelf"]["nearest"] is not None


def test_a_fine_class_that_a_wrong_coarse_label_makes_is_reported(
    coarsecon: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    table = changed(photos, "train5", "striped", "patterned")
    words = ("prepare", "folder", "--table", table, "--coarse", "department", "--fine", "print", "--size", 32)
    done = coarsecon(*words, "--out", tmp_path / "data")
    assert done.code == 0, done.err
    note = (
        "Fine classes of one name, one of them with few images: patterned/upright stripes (1, such as "
        "train/train5.png) and striped/upright stripes (35)."
    )
    assert note in " ".join(done.err.split())
    assert note in " ".join(coarsecon("data", "check", tmp_path / "data").err.split())


def test_retrieval_reports_each_level_and_the_distance_of_mistakes(coarsecon: Callable[..., Any], run: Path) -> None:
    done = coarsecon("retrieve", run, "--device", "cpu", "--json", "-")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    within = ["fine_within_coarse", "fine_within_coarse_all_queries", "by_coarse_class"]
    assert list(found) == ["fine", "coarse", "print", *within, "print_within_coarse", "fine_within_print", "hierarchy"]
    assert found["print_within_coarse"]["parent_classes"] == 2
    part = found["hierarchy"]
    assert part["levels"] == LEVELS
    assert sum(part["heights"]) == part["queries"] == 48
    misses = [1 - found[level]["recall@1"] for level in LEVELS]
    assert part["distance@1"] == pytest.approx(sum(misses))
    assert part["distance_of_mistakes"] == pytest.approx(sum(misses) / misses[2])
    shown = coarsecon("retrieve", run, "--device", "cpu").out
    assert "Nearest neighbor in the hierarchy coarse > print > fine" in " ".join(shown.split())
    assert re.search(r"other coarse\W+3", shown)


def test_an_added_label_column_is_a_level_of_the_hierarchy(coarsecon: Callable[..., Any], run: Path) -> None:
    from coarsecon.data.labels.columns import add_labels

    dataset = open_dataset(run.parent / "data")
    test, names = dataset.splits["test"], dataset.info.levels["fine"]
    pairs = [FINE.index(names[label]) // 2 for label in test.labels["fine"].tolist()]
    keys = [("test", name) for name in test.names]
    add_labels(dataset, "reviewed", zip(keys, map(str, pairs), strict=True), who="test")
    assert dataset_hierarchy(open_dataset(dataset.root)).levels == ("coarse", "print", "reviewed", "fine")
    done = coarsecon("retrieve", run, "--labels", "reviewed", "--device", "cpu", "--json", "-")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert list(found) == ["reviewed", "reviewed_within_print", "hierarchy"]
    assert found["hierarchy"]["levels"] == ["coarse", "print", "reviewed"]
    assert found["reviewed_within_print"]["parent_classes"] == 4


@pytest.mark.parametrize("command", ["knn", "linear"])
def test_classifiers_report_each_level(coarsecon: Callable[..., Any], run: Path, command: str) -> None:
    done = coarsecon(command, run, "--device", "cpu", "--json", "-")
    assert done.code == 0, done.err
    assert list(json.loads(done.out)) == ["fine", "coarse", "print"]


def test_a_classifier_of_the_middle_level(coarsecon: Callable[..., Any], run: Path) -> None:
    done = coarsecon("linear", run, "--labels", "print", "--device", "cpu", "--json", "-")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert list(found) == ["print"]
    assert found["print"]["classes"] == 4


@pytest.mark.parametrize(
    ("level", "within", "ways"), [("print", "coarse", 2), ("fine", "print", 4), ("print", None, 3)]
)
def test_few_shot_classes_of_any_level(
    coarsecon: Callable[..., Any], run: Path, level: str, within: str | None, ways: int
) -> None:
    words = ["--labels", level, *(["--within", within] if within else []), "--ways", ways, "--queries", 2]
    done = coarsecon("fewshot", run, *words, "--episodes", 20, "--support-copies", 1, "--device", "cpu", "--json", "-")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["ways"], found.get("labels", "fine"), found.get("within")) == (ways, level, within)
    assert found["fine_within_coarse"] is False


def test_a_level_has_no_classes_inside_itself(coarsecon: Callable[..., Any], run: Path) -> None:
    done = coarsecon("fewshot", run, "--labels", "print", "--within", "print")
    assert done.code == 2
    assert "--within: a print class has no other print class inside" in done.err


def test_clusters_inside_the_middle_level(coarsecon: Callable[..., Any], run: Path) -> None:
    words = ("cluster", run, "--within", "print", "--k", "oracle", "--restarts", 1, "--device", "cpu", "--json", "-")
    done = coarsecon(*words)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [row["name"] for row in found["classes"]] == sorted(COARSE)
    assert [row["clusters"] for row in found["classes"]] == [4] * 4
    assert "Clusters inside each print class" in coarsecon(*words[:-2]).out
    page = next((run / "figures").glob("cluster-*within=print*.html")).read_text()
    assert "Clusters inside each print class" in page


def test_reports_show_every_level(coarsecon: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    coarsecon("retrieve", run, "--device", "cpu")
    done = coarsecon("report", run, "--out", tmp_path / "report.html")
    assert done.code == 0, done.err
    page = (tmp_path / "report.html").read_text()
    for text in ("print within coarse", "fine within print", "hierarchy", "distance of mistakes"):
        assert text in page
