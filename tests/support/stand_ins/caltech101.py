"""Caltech-101, small: three images of each class, one of them to train, and a file that is none."""

from pathlib import Path

import pytest

from coarsecon.data.sources import caltech101
from stand_ins.images import encoded
from stand_ins.packing import tarred, zipped

CLASSES = ["BACKGROUND_Google", "Faces", *(f"class_{i:02d}" for i in range(100))]


def write_caltech101(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes `101_ObjectCategories`."""
    monkeypatch.setattr(caltech101.SOURCE, "counts", {"train": 102, "test": 204})
    monkeypatch.setattr(caltech101, "TRAIN_PER_CLASS", 1)
    for number, name in enumerate(CLASSES):
        folder = place / "101_ObjectCategories" / name
        folder.mkdir(parents=True)
        for i in range(1, 4):
            (folder / f"image_{i:04d}.jpg").write_bytes(encoded(seed=number))
    (place / "101_ObjectCategories" / "BACKGROUND_Google" / "tmp").write_bytes(encoded())
    return ["--source", str(place)]


def write_caltech101_tar(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same, packed."""
    write_caltech101(place, monkeypatch)
    return ["--source", str(tarred(place / "101_ObjectCategories"))]


def write_caltech101_zip(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same, in the archive that is published: a zip around that tar, with annotations and a Mac's litter."""
    folder = place / "caltech-101"
    write_caltech101(folder, monkeypatch)
    tarred(folder / "101_ObjectCategories")
    (folder / "Annotations.tar").write_bytes(b"not looked at")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._101_ObjectCategories.tar.gz").write_bytes(b"not looked at")
    zipped(folder)
    return ["--source", str(place)]
