"""Tiny ImageNet: training images by their folder, validation images by their annotations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sources import read_source
from stand_ins.tinyimagenet import WNIDS, write_tinyimagenet, write_tinyimagenet_zip

from coarsecon.data.prepare.dataset import prepare_dataset
from coarsecon.data.sources import tinyimagenet
from coarsecon.errors import InputError

SOURCE = tinyimagenet.SOURCE


@pytest.mark.parametrize("write", [write_tinyimagenet, write_tinyimagenet_zip])
def test_images_and_labels(write: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, monkeypatch)
    data = read_source(SOURCE, tmp_path)
    assert data.size == 64
    assert data.levels["fine"] == [f"thing {i}, thing" for i in range(1, 201)]
    train, test = data.splits["train"], data.splits["test"]
    assert [WNIDS[fine] for fine in train.labels["fine"]] == [name.split("/")[1] for name in train.names]
    assert test.names == [f"val/images/val_{i}.JPEG" for i in range(8)]
    assert test.labels["fine"].tolist() == [3, 2, 1, 0, 3, 2, 1, 0]


def test_the_folder_and_the_zip_prepare_alike_grey_images_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = []
    for name, write in (("folder", write_tinyimagenet), ("zip", write_tinyimagenet_zip)):
        write(tmp_path / name, monkeypatch)
        prepared.append(prepare_dataset(SOURCE, tmp_path / f"{name}-out", source=tmp_path / name))
    folder, packed = prepared
    assert folder.info.splits == packed.info.splits
    assert folder.splits["train"].names == packed.splits["train"].names
    assert folder.info.form == "array"
    grey = folder.splits["train"].image(
        folder.splits["train"].names.index(f"train/{WNIDS[0]}/images/{WNIDS[0]}_0.JPEG")
    )
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        ("wnids.txt", lambda text: text + "n99999999\n", "wnids.txt does not list 200 classes"),
        ("wnids.txt", lambda text: text.replace(WNIDS[1], "n99999999"), f"'{WNIDS[1]}', which is not in wnids.txt"),
        ("val/val_annotations.txt", lambda text: text.replace("val_3", "../val_3"), "line 4: there is no image"),
        ("val/val_annotations.txt", lambda text: text.replace(WNIDS[3], "dog"), "has the class 'dog'"),
        ("val/val_annotations.txt", lambda text: text.replace("\t", " "), "line 1: there is no image"),
        ("val/val_annotations.txt", lambda text: text.replace("val_3", "val_2"), "7 test images, not 8"),
        ("words.txt", lambda text: "", ""),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, change: Callable[[str], str], problem: str
) -> None:
    write_tinyimagenet(tmp_path, monkeypatch)
    place = tmp_path / "tiny-imagenet-200" / file
    place.write_text(change(place.read_text()))
    if not problem:
        assert read_source(SOURCE, tmp_path).levels["fine"] == WNIDS
        return
    with pytest.raises(InputError, match=problem):
        read_source(SOURCE, tmp_path)


def test_missing_files_and_images_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tinyimagenet(tmp_path, monkeypatch)
    (tmp_path / "tiny-imagenet-200" / "train" / WNIDS[0] / "images" / f"{WNIDS[0]}_0.JPEG").unlink()
    with pytest.raises(InputError, match="23 train images, not 24; download the files again, or set download"):
        read_source(SOURCE, tmp_path)
    (tmp_path / "tiny-imagenet-200" / "val" / "val_annotations.txt").unlink()
    with pytest.raises(InputError, match=r"val/val_annotations.txt missing"):
        read_source(SOURCE, tmp_path)
    (tmp_path / "tiny-imagenet-200" / "wnids.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"wnids.txt is not readable text"):
        read_source(SOURCE, tmp_path)
