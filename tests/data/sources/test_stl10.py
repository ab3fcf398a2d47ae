"""STL-10: its binary files, from the folder or the archive, are read in pieces and turned upright."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loopback import Files
from sources import read_source
from stand_ins.stl10 import CLASSES, write_stl10, write_stl10_tar

from coarsecon.data.prepare.dataset import prepare_dataset
from coarsecon.data.sources import Chunked, SplitData, stl10
from coarsecon.errors import InputError


def pixels(split: SplitData) -> np.ndarray:
    assert isinstance(split.images, Chunked)
    return np.concatenate(list(split.images.pieces()))


@pytest.mark.parametrize("write", [write_stl10, write_stl10_tar])
def test_images_and_labels(write: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stl10, "PIECE", 7)
    write(tmp_path, monkeypatch)
    data = read_source(stl10.SOURCE, tmp_path)
    assert (data.size, data.levels) == (96, {"fine": CLASSES})
    assert data.splits["train"].labels["fine"].tolist() == [i % 10 for i in range(20)] + [-1] * 15
    assert data.splits["test"].labels["fine"].tolist() == list(range(10))
    drawn = [np.random.default_rng(i).integers(0, 256, (n, 3, 96, 96), np.uint8) for i, n in enumerate((20, 15, 10))]
    np.testing.assert_array_equal(pixels(data.splits["train"]), np.concatenate(drawn[:2]))
    np.testing.assert_array_equal(pixels(data.splits["test"]), drawn[2])


def test_the_first_pixels_run_down_the_first_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stl10(tmp_path, monkeypatch)
    raw = (tmp_path / "stl10_binary" / "test_X.bin").read_bytes()
    image = pixels(read_source(stl10.SOURCE, tmp_path).splits["test"])[0]
    assert image[0, :, 0].tobytes() == raw[:96]
    assert image[1, :, 2].tobytes() == raw[96 * 96 + 2 * 96 :][:96]


def test_the_folder_and_the_archive_prepare_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checksums = set()
    for name, write in (("folder", write_stl10), ("tar", write_stl10_tar)):
        write(tmp_path / name, monkeypatch)
        prepared = prepare_dataset(stl10.SOURCE, tmp_path / f"{name}-out", source=tmp_path / name)
        checksums.add(prepared.info.splits["train"].checksum)
    assert len(checksums) == 1


def test_download(served: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stl10_tar(tmp_path / "original", monkeypatch)
    archive = (tmp_path / "original" / "stl10_binary.tar.gz").read_bytes()
    served.content["/stl10_binary.tar.gz"] = archive
    served.drop_after = [len(archive) // 2]
    url, md5 = f"{served.url}/stl10_binary.tar.gz", hashlib.md5(archive).hexdigest()
    monkeypatch.setattr(stl10, "ORIGINALS", replace(stl10.ORIGINALS, url=url, md5=md5))
    data = read_source(stl10.SOURCE, tmp_path / "here", download=True)
    assert len(pixels(data.splits["train"])) == 35
    assert [file.name for file in (tmp_path / "here").iterdir()] == ["stl10_binary.tar.gz"]


@pytest.mark.parametrize("write", [write_stl10, write_stl10_tar])
def test_a_file_of_another_size_is_named(write: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, monkeypatch)
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"test_X.bin has 276,480 bytes, not 221,184,000; download the files again"):
        read_source(stl10.SOURCE, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("train_y.bin", bytes(20), "train_y.bin goes beyond 1 to 10"),
        ("test_y.bin", bytes([11] * 10), "test_y.bin goes beyond 1 to 10"),
        ("test_y.bin", b"", "test_y.bin has 0 bytes, not 10"),
        ("class_names.txt", b"cat dog", "does not name 10 classes"),
        ("class_names.txt", b"\xff" * 10, "does not name 10 classes"),
        ("unlabeled_X.bin", None, "unlabeled_X.bin missing"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes | None, problem: str
) -> None:
    write_stl10(tmp_path, monkeypatch)
    file = tmp_path / "stl10_binary" / name
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(InputError, match=problem):
        read_source(stl10.SOURCE, tmp_path)


def test_a_truncated_archive_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stl10_tar(tmp_path, monkeypatch)
    archive = tmp_path / "stl10_binary.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-2000])
    with pytest.raises(InputError, match="not a complete tar archive"):
        prepare_dataset(stl10.SOURCE, tmp_path / "out", source=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


def test_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="size: the original images have 96 px, not 64"):
        read_source(stl10.SOURCE, tmp_path, size=64)
