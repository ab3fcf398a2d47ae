"""STL-10, small: binary files of 96 px images, column after column, and of labels from 1."""

from pathlib import Path

import numpy as np
import pytest

from coarsecon.data.sources import stl10
from coarsecon.data.sources.stl10 import Part
from stand_ins.packing import tarred

PARTS = {
    "train": (Part("train_X.bin", "train_y.bin", 20), Part("unlabeled_X.bin", "", 15)),
    "test": (Part("test_X.bin", "test_y.bin", 10),),
}
CLASSES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]


def write_stl10(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes `stl10_binary`."""
    monkeypatch.setattr(stl10, "PARTS", PARTS)
    folder = place / "stl10_binary"
    folder.mkdir(parents=True)
    for seed, part in enumerate(part for parts in PARTS.values() for part in parts):
        images = np.random.default_rng(seed).integers(0, 256, (part.count, 3, 96, 96), dtype=np.uint8)
        (folder / part.images).write_bytes(images.swapaxes(2, 3).tobytes())
        if part.labels:
            (folder / part.labels).write_bytes(bytes(i % 10 + 1 for i in range(part.count)))
    (folder / "class_names.txt").write_text("\n".join(CLASSES))
    (folder / "fold_indices.txt").write_text("0 1 2\n3 4 5\n")
    return ["--source", str(place)]


def write_stl10_tar(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same, packed."""
    write_stl10(place, monkeypatch)
    tarred(place / "stl10_binary")
    return ["--source", str(place)]
