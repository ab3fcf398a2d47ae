"""The CIFAR files, small, in their published structure."""

import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coarsecon.data.sources import cifar10, cifar100
from stand_ins.pickles import to_python2


def _batch(count: int, start: int, **labels: list[int]) -> bytes:
    data = np.random.default_rng(start).integers(0, 256, (count, 3072), dtype=np.uint8)
    names = [f"image_{start + i:04d}.png".encode() for i in range(count)]
    columns = {key.encode(): column for key, column in labels.items()}
    return to_python2({b"data": data, b"filenames": names, b"batch_label": b"a batch", **columns})


def write_cifar100(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes `cifar-100-python` with 200 training and 100 test images, which are taken as published."""
    counts = {"train": 200, "test": 100}
    monkeypatch.setattr(cifar100.SOURCE, "files", replace(cifar100.SOURCE.files, counts=counts))
    folder = place / "cifar-100-python"
    folder.mkdir(parents=True)
    for split, count in counts.items():
        fine = [i % 100 for i in range(count)]
        coarse = [label // 5 for label in fine]
        (folder / split).write_bytes(_batch(count, 0, fine_labels=fine, coarse_labels=coarse))
    meta = {
        b"fine_label_names": [f"fine {i}".encode() for i in range(100)],
        b"coarse_label_names": [f"coarse {i}".encode() for i in range(20)],
    }
    (folder / "meta").write_bytes(to_python2(meta))
    return ["--source", str(place)]


def write_cifar10(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes `cifar-10-batches-py` with 100 training and 20 test images, which are taken as published."""
    monkeypatch.setattr(cifar10.SOURCE, "files", replace(cifar10.SOURCE.files, counts={"train": 100, "test": 20}))
    folder = place / "cifar-10-batches-py"
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
    (folder / "batches.meta").write_bytes(to_python2({b"label_names": names, b"num_vis": 3072}))
    return ["--source", str(place)]


@pytest.fixture
def cifar100_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the stand-in of `cifar-100-python`."""
    write_cifar100(tmp_path / "original", monkeypatch)
    return tmp_path / "original"


@pytest.fixture
def cifar10_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the stand-in of `cifar-10-batches-py`."""
    write_cifar10(tmp_path / "original", monkeypatch)
    return tmp_path / "original"


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
