"""Oxford Flowers: the three sets and the labels of the published .mat files."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from loopback import Files
from scipy.io import savemat
from sources import read_source
from stand_ins.flowers102 import COUNTS, write_flowers102, write_flowers102_tar
from stand_ins.images import encoded

from coarsecon.data.formats.images import read_bytes
from coarsecon.data.sources import SourceData, flowers102
from coarsecon.errors import InputError


def read(source: Path | None, **more) -> SourceData:
    return read_source(flowers102.SOURCE, source, **more)


def check(data: SourceData) -> None:
    assert {split: len(part.images) for split, part in data.splits.items()} == COUNTS
    for part in data.splits.values():
        for name, image, fine in zip(part.names, part.images, part.labels["fine"], strict=True):
            number = int(name[6:11])
            assert fine == number * 3 % 102
            assert read_bytes(image) == encoded(seed=number)


@pytest.mark.parametrize("write", [write_flowers102, write_flowers102_tar])
def test_the_sets_and_labels(write: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, monkeypatch)
    data = read(tmp_path)
    check(data)
    assert (data.levels["fine"][0], data.levels["fine"][101]) == ("pink primrose", "blackberry lily")


def test_download_fetches_all_three_files(served: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_flowers102_tar(tmp_path / "original", monkeypatch)
    for name in flowers102.MD5:
        served.content[f"/{name}"] = (tmp_path / "original" / name).read_bytes()
        monkeypatch.setitem(flowers102.MD5, name, hashlib.md5(served.content[f"/{name}"]).hexdigest())
    monkeypatch.setattr(flowers102, "URL", f"{served.url}/")
    for _ in range(2):
        check(read(tmp_path / "here", download=True))
    assert len(served.requests) == 3


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"trnid": np.arange(1, 20)[None]}, "setid.mat: 19 train images, not 20"),
        ({"trnid": np.zeros((1, 20))}, "the sets do not partition the images 1 to 33"),
        ({"tstid": np.full((1, 8), 0.5)}, "setid.mat: tstid: not all are integers"),
        ({"tstid": "eight"}, "setid.mat: tstid: not all are integers"),
        ({"labels": np.full((1, 33), 103)}, "imagelabels.mat: not 33 labels from 1 to 102"),
        ({"labels": np.ones((1, 32))}, "imagelabels.mat: not 33 labels"),
        ({"labels": np.ones((1, 0))}, "imagelabels.mat: not 33 labels"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, problem: str) -> None:
    write_flowers102(tmp_path, monkeypatch)
    shuffled = np.arange(1, 34)
    sets = {"trnid": shuffled[None, :20], "valid": shuffled[None, 20:25], "tstid": shuffled[None, 25:]}
    if "labels" in change:
        savemat(tmp_path / "imagelabels.mat", change)
    else:
        savemat(tmp_path / "setid.mat", sets | change)
    with pytest.raises(InputError, match=problem):
        read(tmp_path)


def test_missing_photos_and_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_flowers102(tmp_path, monkeypatch)
    (tmp_path / "jpg" / "image_00007.jpg").unlink()
    with pytest.raises(InputError, match=r"1 images missing, such as image_00007.jpg; download"):
        read(tmp_path)
    (tmp_path / "setid.mat").unlink()
    with pytest.raises(
        InputError, match=r"does not contain all of imagelabels.mat, setid.mat and jpg/ or 102flowers.tgz"
    ):
        read(tmp_path)
    with pytest.raises(InputError, match=", or set download"):
        read(None)
