"""Stand-ins for original files: small CIFAR files of the published structure, and small image files."""

import io
import pickle
import struct
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from coarsecon.data.sources import SourceData, SplitData, cifar10, cifar100


class _Python2Pickler(pickle._Pickler):
    """Writes bytes as the `str` of Python 2, as the published CIFAR files have them."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_str2(self, text: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(text)) + text)
        self.memoize(text)

    dispatch[bytes] = save_str2


def _python2_pickle(value: Any) -> bytes:
    out = io.BytesIO()
    _Python2Pickler(out, protocol=2).dump(value)
    return out.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


@pytest.fixture
def python2_pickle() -> Callable[[Any], bytes]:
    """Pickles as Python 2 would; bytes become its `str`."""
    return _python2_pickle


def _batch(count: int, start: int, **labels: list[int]) -> bytes:
    data = np.random.default_rng(start).integers(0, 256, (count, 3072), dtype=np.uint8)
    names = [f"image_{start + i:04d}.png".encode() for i in range(count)]
    columns = {key.encode(): column for key, column in labels.items()}
    return _python2_pickle({b"data": data, b"filenames": names, b"batch_label": b"a batch", **columns})


@pytest.fixture
def cifar100_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds `cifar-100-python` with 200 training and 100 test images, taken as published."""
    counts = {"train": 200, "test": 100}
    monkeypatch.setattr(cifar100, "FILES", replace(cifar100.FILES, counts=counts))
    folder = tmp_path / "original" / "cifar-100-python"
    folder.mkdir(parents=True)
    for split, count in counts.items():
        fine = [i % 100 for i in range(count)]
        coarse = [label // 5 for label in fine]
        (folder / split).write_bytes(_batch(count, 0, fine_labels=fine, coarse_labels=coarse))
    meta = {
        b"fine_label_names": [f"fine {i}".encode() for i in range(100)],
        b"coarse_label_names": [f"coarse {i}".encode() for i in range(20)],
    }
    (folder / "meta").write_bytes(_python2_pickle(meta))
    return folder.parent


@pytest.fixture
def cifar10_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `cifar-10-batches-py`: 100 training and 20 test images, taken as published."""
    monkeypatch.setattr(cifar10, "FILES", replace(cifar10.FILES, counts={"train": 100, "test": 20}))
    folder = tmp_path / "original" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for number in range(1, 6):
        content = _batch(20, 20 * number, labels=[(i + number) % 10 for i in range(20)])
        (folder / f"data_batch_{number}").write_bytes(content)
    (folder / "test_batch").write_bytes(_batch(20, 0, labels=[i % 10 for i in range(20)]))
    names = [
        b"airplane",
        b"automobile",
        b"bird",
        b"cat",
        b"deer",
        b"dog",
        b"frog",
        b"horse",
        b"ship",
        b"truck",
    ]
    (folder / "batches.meta").write_bytes(_python2_pickle({b"label_names": names, b"num_vis": 3072}))
    return folder.parent


@pytest.fixture
def pack() -> Callable[[Path], Path]:
    """Packs a folder of CIFAR files into the archive it is published as, beside it."""

    def pack(folder: Path) -> Path:
        published = {
            "cifar-100-python": "cifar-100-python.tar.gz",
            "cifar-10-batches-py": "cifar-10-python.tar.gz",
        }
        archive = folder.parent / published[folder.name]
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
            tar.add(folder, folder.name)
        return archive

    return pack


def _save_image(path: Path, size: tuple[int, int] = (12, 8), seed: int = 0, **options: Any) -> Path:
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR).save(path, **options)
    return path


@pytest.fixture
def save_image() -> Callable[..., Path]:
    """Saves a small picture to a path: `save_image(path, (width, height), seed, **options)`."""
    return _save_image


@pytest.fixture
def array_data() -> SourceData:
    """Ten training and four test images of 8 px in memory, with one unknown fine label."""
    rng = np.random.default_rng(0)

    def split(count: int) -> SplitData:
        fine = np.arange(count) % 4
        labels = {"coarse": fine // 2, "fine": np.where(np.arange(count) == 3, -1, fine)}
        return SplitData(labels, rng.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8))

    levels = {"coarse": ["a", "b"], "fine": ["a1", "a2", "b1", "b2"]}
    return SourceData("noise", 8, levels, {"train": split(10), "test": split(4)}, notes="noise")
