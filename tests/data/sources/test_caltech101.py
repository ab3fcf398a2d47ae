"""Caltech-101: thirty images of each class to train, the same ones always, from each form it comes in."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sources import read_source
from stand_ins.caltech101 import CLASSES, write_caltech101, write_caltech101_tar, write_caltech101_zip
from stand_ins.images import encoded
from stand_ins.packing import zipped

from coarsecon.data.formats.images import read_bytes
from coarsecon.data.sources import SourceData, caltech101
from coarsecon.errors import InputError


def read(source: Path) -> SourceData:
    return read_source(caltech101.SOURCE, source)


@pytest.mark.parametrize("write", [write_caltech101, write_caltech101_tar, write_caltech101_zip])
def test_each_form_gives_the_same(write: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, monkeypatch)
    data = read(tmp_path)
    assert data.levels["fine"] == sorted(CLASSES)
    assert np.bincount(data.splits["train"].labels["fine"]).tolist() == [1] * 102
    assert np.bincount(data.splits["test"].labels["fine"]).tolist() == [2] * 102
    names = {split: part.names for split, part in data.splits.items()}
    assert not set(names["train"]) & set(names["test"])
    for part in data.splits.values():
        for name, image, fine in zip(part.names, part.images, part.labels["fine"], strict=True):
            kind = name.partition("/")[0]
            assert kind == data.levels["fine"][fine]
            assert read_bytes(image) == encoded(seed=CLASSES.index(kind))


def test_the_draw_is_the_same_everywhere_and_no_mere_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_caltech101(tmp_path, monkeypatch)
    train = read(tmp_path).splits["train"].names
    assert train[:4] == [
        "BACKGROUND_Google/image_0001.jpg",
        "Faces/image_0001.jpg",
        "class_00/image_0002.jpg",
        "class_01/image_0002.jpg",
    ]
    assert {name.rpartition("/")[2] for name in train} == {f"image_000{i}.jpg" for i in (1, 2, 3)}


def test_a_zip_of_the_folder_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_caltech101(tmp_path, monkeypatch)
    expected = read(tmp_path).splits["test"].names
    assert read(zipped(tmp_path / "101_ObjectCategories")).splits["test"].names == expected


def test_a_set_without_background_is_not_the_published_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_caltech101(tmp_path, monkeypatch)
    folder = tmp_path / "101_ObjectCategories"
    for file in (folder / "BACKGROUND_Google").iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"303 images of 101 classes, not 306 of 102 \(BACKGROUND_Google among them"):
        read(tmp_path)


def test_a_broken_archive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_caltech101_zip(tmp_path, monkeypatch)
    archive = tmp_path / "caltech-101.zip"
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"caltech-101.zip: not a complete (zip|tar) archive"):
        read(tmp_path)
    archive.write_bytes(content[:-100])
    with pytest.raises(InputError, match=r"caltech-101.zip: not a complete tar archive"):
        read(tmp_path)
