"""tieredImageNet is read in place in its pickles; names tell its classes, and our table their superclasses."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sources import read_source
from stand_ins import tieredimagenet as stand_in

from coarsecon.data.formats.images import Stored, decode, read_bytes
from coarsecon.data.prepared.store import open_dataset
from coarsecon.data.sources import tieredimagenet


@pytest.fixture
def original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stand_in.write_pickles(tmp_path / "original", monkeypatch)
    return tmp_path / "original"


def check(original: Path) -> None:
    """Every image has the classes of its content."""
    data = read_source(tieredimagenet.SOURCE, original)
    assert {level: len(names) for level, names in data.levels.items()} == {"coarse": 34, "fine": 608}
    for split, published in data.splits.items():
        for row, file, fine, coarse in zip(
            stand_in.classes(split), published.images, published.labels["fine"], published.labels["coarse"], strict=True
        ):
            assert read_bytes(file) == stand_in.image(row)
            assert (fine, coarse) == (int(row["fine"]), int(row["coarse"]))
            assert data.levels["coarse"][coarse] == row["coarse_name"]
            assert row["wnid"] in data.levels["fine"][fine]


def test_images_lie_in_the_pickles_and_classes_go_by_name(original: Path) -> None:
    check(original)
    data = read_source(tieredimagenet.SOURCE, original)
    assert all(isinstance(file, Stored) for file in data.splits["train"].images)
    for level in ("coarse", "fine"):
        classes = [set(split.labels[level].tolist()) for split in data.splits.values()]
        assert sum(map(len, classes)) == len(set.union(*classes)), "no class is in two splits"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_written_anew_by_python_3_are_read(original: Path, protocol: int) -> None:
    for file in original.iterdir():
        value: Any = pickle.loads(file.read_bytes(), encoding="bytes")  # noqa: S301
        if isinstance(value, dict):
            value = {key.decode(): value[key] for key in value}
            value["label_specific_str"] = [name.decode() for name in value["label_specific_str"]]
        file.write_bytes(pickle.dumps(value, protocol))
    check(original)


def test_prepared_images_are_the_published_ones(original: Path, coarsecon, tmp_path: Path) -> None:
    done = coarsecon("prepare", "tieredimagenet", "--source", original, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    split = open_dataset(tmp_path / "out").split("val")
    row = stand_in.classes("val")[5]
    assert split.names[5] == f"{row['wnid']}/val-000005"
    assert split.image(5).shape == (84, 84, 3)
    assert abs(split.image(5).astype(int) - decode(stand_in.image(row))).mean() < 3


def relabel(**changes: Callable[[Any], Any]) -> Callable[[Path], None]:
    def damage(original: Path) -> None:
        file = original / "val_labels.pkl"
        labels = {key.decode(): value for key, value in pickle.loads(file.read_bytes(), encoding="bytes").items()}  # noqa: S301
        file.write_bytes(pickle.dumps(labels | {key: change(labels[key]) for key, change in changes.items()}))

    return damage


def truncate(original: Path) -> None:
    file = original / "test_images_png.pkl"
    file.write_bytes(file.read_bytes()[:50_000])


def rewrite(value: Any) -> Callable[[Path], None]:
    return lambda original: (original / "test_images_png.pkl").write_bytes(pickle.dumps(value)) and None


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda original: (original / "val_labels.pkl").unlink(), "val_labels.pkl: cannot be read"),
        (lambda original: (original / "val_images_png.pkl").unlink(), "val_images_png.pkl: not a complete pickle"),
        (truncate, r"test_images_png.pkl: not a complete pickle \(.*\); download the file again"),
        (rewrite([np.zeros(5, np.uint8)]), "test_images_png.pkl: 0 PNG images, not 160"),
        (relabel(label_specific_str=lambda names: [*names[1:], b"unicorn"]), "the 97 published .*, such as unicorn"),
        (relabel(label_specific_str=lambda names: names[1:]), "val_labels.pkl: label_specific_str differs"),
        (relabel(label_specific_str=lambda names: 7), "label_specific_str differs"),
        (relabel(label_specific=lambda numbers: numbers[1:]), "label_specific is not a list of 97 numbers"),
        (relabel(label_specific=lambda numbers: [[1], [2, 3]]), "label_specific is not a list of 97 numbers"),
        (relabel(label_specific=lambda numbers: numbers + 1), "label_specific goes beyond 0 to 96"),
    ],
)  # fmt: skip
def test_what_was_not_published_is_refused(
    damage: Callable[[Path], None], problem: str, original: Path, coarsecon, tmp_path: Path
) -> None:
    damage(original)
    done = coarsecon("prepare", "tieredimagenet", "--source", original, "--out", tmp_path / "out")
    assert done.code == 2
    assert re.search(problem, " ".join(done.err.split())), done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_code_in_the_image_pickle_is_never_run(original: Path, coarsecon, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    file = original / "test_images_png.pkl"
    file.write_bytes(b"cposix\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR0" + file.read_bytes()[2:])
    coarsecon("prepare", "tieredimagenet", "--source", original, "--size", 8, "--out", tmp_path / "out")
    assert not canary.exists()
