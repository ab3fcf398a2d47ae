"""tieredImageNet in small: an image of each class, pickled as Python 2 did, with its wrong general labels."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from coarsecon.data.sources import tieredimagenet
from coarsecon.data.sources.labels import read_table
from stand_ins.images import encoded
from stand_ins.pickles import to_python2

ROWS = read_table("tieredimagenet")
COUNTS = {"train": 351, "val": 97, "test": 160}


def classes(split: str) -> list[dict[str, str]]:
    """The classes of a split in the order of the pickles, which is that of no list."""
    rows = [row for row in ROWS if row["split"] == split]
    return [rows[place] for place in np.random.default_rng(len(rows)).permutation(len(rows))]


def image(row: dict[str, str]) -> bytes:
    """The image of a class."""
    return _image(int(row["fine"]))


@cache
def _image(fine: int) -> bytes:
    return encoded("PNG", (84, 84), fine)


def write_pickles(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """{train,val,test}_images_png.pkl, a list of encoded images as arrays [n, 1], and their labels."""
    monkeypatch.setattr(tieredimagenet.SOURCE, "counts", COUNTS)
    place.mkdir()
    for split, count in COUNTS.items():
        rows = classes(split)
        images = [np.frombuffer(image(row), np.uint8)[:, None].copy() for row in rows]
        labels = {
            b"label_specific": np.arange(count, dtype=np.int32),
            b"label_general": np.full(count, len({row["coarse"] for row in rows}), np.int32),
            b"label_specific_str": [row["fine_name"].encode() for row in rows],
            b"label_general_str": list(dict.fromkeys(row["coarse_name"][:47].encode() for row in rows)),
        }
        (place / f"{split}_images_png.pkl").write_bytes(to_python2(images))
        (place / f"{split}_labels.pkl").write_bytes(to_python2(labels))
    return ["--source", str(place), "--size", "32"]
