"""Tables on narrow terminals keep every number, whatever the names are."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from coarsecon.cli.console import table
from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.data.sources.toy import FINE, draw
from coarsecon.metrics.metric import percent

LONG = "00001_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris"
QUICK = ("--device", "cpu", "--workers", 0)


def cells(printed: str) -> list[list[str]]:
    """The cells of every line inside a table."""
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in printed.splitlines() if line[0] in "│┃"]


@pytest.mark.parametrize("width", [40, 80, 110, 200])
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_numbers_stay_beside_long_names_and_under_many_headings(monkeypatch, capsys, width, levels):
    monkeypatch.setenv("COLUMNS", str(width))
    columns = ["coarse", "images", *(f"{name}{i} {kind}" for i in range(levels) for name in ("fine", LONG[:30])
                                     for kind in ("classes", "NMI", "accuracy"))]  # fmt: skip
    numbers = [[f"{1000 * row + place:,}.{place:02d}" for place in range(1, len(columns))] for row in (1, 2)]
    table("Clusters of " + LONG, columns, [[LONG, *numbers[0]], [LONG[::-1], *numbers[1]]])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= width
    shown = [cell for row in cells(printed) for cell in row[1:] if re.fullmatch(r"[\d,.]+", cell)]
    assert sorted(shown) == sorted([*numbers[0], *numbers[1]])
    assert "…" not in printed
    first = "".join(row[0] for row in cells(printed))
    assert LONG in first
    assert LONG[::-1] in first


def test_texts_share_the_width_that_numbers_leave(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    table("Nearest", ["image", "cosine", "fine", "coarse"], [(f"a/{LONG}.jpg", "0.987", LONG, LONG)], numbers=False)
    lines = cells(capsys.readouterr().out)
    assert ["".join(column) for column in zip(*lines, strict=True)] == [
        f"imagea/{LONG}.jpg", "cosine0.987", f"fine{LONG}", f"coarse{LONG}",
    ]  # fmt: skip


def test_wide_characters_count_twice(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    table("", ["", "recall@1", "precision@1"], [("日本茶" * 10, "12.34", "56.78")])
    lines = cells(capsys.readouterr().out)
    assert {"12.34", "56.78"} <= {cell for row in lines for cell in row}
    assert "".join(row[0] for row in lines) == "日本茶" * 10


@pytest.fixture(scope="module")
def long_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with names of classes and of a level that are longer than a terminal is wide."""
    rng = np.random.default_rng(0)
    fine = rng.permutation(np.arange(96) % 16)
    names = {"coarse": [f"{LONG}_{i}" for i in range(4)], "fine": [f"{LONG}_{name}" for name in FINE]}
    names[LONG[:40]] = ["one", "two"]
    labels = {"coarse": fine // 4, "fine": fine, LONG[:40]: fine % 2}
    splits = {name: SplitData(labels, draw(fine, rng)) for name in ("train", "test")}
    root = tmp_path_factory.mktemp("long") / "data"
    write_dataset(root, SourceData("long", 32, names, splits))
    return root


@pytest.mark.parametrize("width", [80, 110])
@pytest.mark.parametrize("command", ["retrieve", "cluster"])
def test_commands_print_every_number_of_their_json(
    coarsecon, tiny_run, long_names, tmp_path, monkeypatch, command, width
):
    monkeypatch.setenv("COLUMNS", str(width))
    words = {"retrieve": [], "cluster": ["--k", 2, "--restarts", 1, "--csv", tmp_path / "c.csv"]}[command]
    done = coarsecon(command, tiny_run, "--data", long_names, *words, *QUICK, "--json", tmp_path / "out.json")
    assert done.code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= width
    found = json.loads((tmp_path / "out.json").read_text())
    rows = found["by_coarse_class"] if command == "retrieve" else found["classes"]
    scores = [row["fine_within_coarse"]["recall@1"] for row in rows] if command == "retrieve" else [
        row[level][score] for row in rows for level in ("fine", LONG[:40]) for score in ("nmi", "ari", "accuracy")
    ]  # fmt: skip
    printed = [cell for row in cells(done.out) for cell in row]
    for score in scores:
        assert percent(score) in printed
