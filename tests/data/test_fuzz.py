"""Original files that are truncated or changed end in a clear error or in a sound dataset, never in a traceback."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from stand_ins import STAND_INS, StandIn

from coarsecon.data.prepared.check import check_dataset
from coarsecon.data.prepared.store import open_dataset

FORMS = [stand_in for stand_in in STAND_INS if stand_in.dataset != "toy"]
IMAGES = (".jpg", ".jpeg", ".png")
KINDS = ("cut", "bit", "bytes", "empty")
FEW, MANY = 2, int(os.environ.get("COARSECON_FUZZ", 24))
"""Damaged files of each form: always, and in the slow run; COARSECON_FUZZ=1000 tries more of them."""


def damage(file: Path, kind: str, rng: random.Random) -> str:
    """Cut a file short, or change a few of its bytes, and say what was done."""
    content = bytearray(file.read_bytes())
    if kind == "cut":
        del content[rng.randrange(len(content)) :]
    elif kind == "empty":
        content.clear()
    else:
        # headers and indices are small: half of the time the damage is near the beginning or the end
        near = rng.choice([range(min(200, len(content))), range(max(0, len(content) - 200), len(content)),
                           range(len(content)), range(len(content))])  # fmt: skip
        for _ in range(1 if kind == "bit" else 8):
            place = rng.choice(near)
            content[place] = content[place] ^ 1 << rng.randrange(8) if kind == "bit" else rng.randrange(256)
    file.write_bytes(content)
    return f"{kind} {file.name}"


def is_sound(out: Path, whole: Path, damaged: Path) -> None:
    """The dataset is consistent, as large as that of the whole files, and keeps the labels where an image changed.

    A user's own table that ends earlier, at the end of a line or in its last word, is a shorter table.
    """
    found, expected = open_dataset(out), open_dataset(whole)
    assert check_dataset(found, workers=1).is_whole
    if damaged.name == "table.csv":
        assert sum(map(len, found.splits.values())) <= sum(map(len, expected.splits.values()))
        return
    for name, split in expected.info.splits.items():
        assert found.info.splits[name].count == split.count
        if damaged.suffix.lower() in IMAGES:
            for level, column in expected.splits[name].labels.items():
                assert found.splits[name].labels[level].tolist() == column.tolist()


def fuzz(stand_in: StandIn, coarsecon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: range) -> None:
    original = tmp_path / "original"
    arguments = ["prepare", stand_in.dataset, *stand_in.write(original, monkeypatch), "--workers", "1"]
    assert coarsecon(*arguments, "--out", tmp_path / "whole").code == 0
    before = {path.name for path in tmp_path.iterdir()}
    files = sorted(path for path in original.rglob("*") if path.is_file() and path.stat().st_size)
    others = [path for path in files if path.suffix.lower() not in IMAGES]
    for seed in seeds:
        rng = random.Random(f"{stand_in} {seed}")
        file = rng.choice(others if others and rng.random() < 0.7 else files)
        content = file.read_bytes()
        what = f"{stand_in}, seed {seed}: {damage(file, rng.choice(KINDS) if seed < FEW else KINDS[seed % 4], rng)}"
        done = coarsecon(*arguments, "--out", tmp_path / "out")
        if done.code == 0:
            is_sound(tmp_path / "out", tmp_path / "whole", file)
            shutil.rmtree(tmp_path / "out")
        else:
            message = [line for line in done.err.splitlines() if line.startswith("error:")]
            assert done.code in (1, 2), what
            assert len(message) == 1, (what, done.err)
            assert "--debug" not in message[0], (what, message)
            assert "Traceback" not in done.err, (what, done.err)
        file.write_bytes(content)
        assert {path.name for path in tmp_path.iterdir()} == before, what


@pytest.mark.parametrize("stand_in", FORMS, ids=str)
def test_a_damaged_file_is_an_error_or_does_no_harm(stand_in, coarsecon, tmp_path, monkeypatch) -> None:
    fuzz(stand_in, coarsecon, tmp_path, monkeypatch, range(FEW))


@pytest.mark.slow
@pytest.mark.parametrize("stand_in", FORMS, ids=str)
def test_many_damaged_files_are_errors_or_do_no_harm(stand_in, coarsecon, tmp_path, monkeypatch) -> None:
    fuzz(stand_in, coarsecon, tmp_path, monkeypatch, range(FEW, MANY))


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_prepared_dataset_is_told_or_found_out(seed: int, coarsecon, tiny_data, tmp_path) -> None:
    """What opening does not notice, `data check` does; only the words of names and notes may change unnoticed."""
    rng = random.Random(seed)
    shutil.copytree(tiny_data, tmp_path / "data")
    file = rng.choice(sorted(path for path in (tmp_path / "data").rglob("*") if path.is_file()))
    what = damage(file, KINDS[seed % 4], rng)
    done = coarsecon("data", "check", tmp_path / "data", "--json", tmp_path / "check.json")
    assert "Traceback" not in done.err
    assert "--debug" not in done.err, (what, done.err)
    if done.code == 0:
        assert json.loads((tmp_path / "check.json").read_text())["whole"]
        assert file.suffix == ".json" or what.startswith(("bit", "bytes")), what
