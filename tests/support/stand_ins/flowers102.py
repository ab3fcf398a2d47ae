"""Oxford Flowers, small; the .mat files have the structure of the published ones."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from coarsecon.data.sources import flowers102
from stand_ins.images import encoded
from stand_ins.packing import tarred

COUNTS = {"train": 20, "val": 5, "test": 8}


def write_flowers102(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes jpg, imagelabels.mat and setid.mat."""
    monkeypatch.setattr(flowers102.SOURCE, "counts", COUNTS)
    (place / "jpg").mkdir(parents=True)
    total = sum(COUNTS.values())
    for number in range(1, total + 1):
        (place / "jpg" / f"image_{number:05d}.jpg").write_bytes(encoded(seed=number))
    labels = np.array([[number * 3 % 102 + 1 for number in range(1, total + 1)]], np.uint8)
    savemat(place / "imagelabels.mat", {"labels": labels}, do_compression=True)
    shuffled = np.random.default_rng(0).permutation(np.arange(1, total + 1, dtype=np.uint16))
    parts = np.split(shuffled, np.cumsum(list(COUNTS.values()))[:-1])
    sets = {name: part[None] for name, part in zip(("trnid", "valid", "tstid"), parts, strict=True)}
    savemat(place / "setid.mat", sets, do_compression=True)
    return ["--source", str(place)]


def write_flowers102_tar(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same with the photos packed."""
    write_flowers102(place, monkeypatch)
    tarred(place / "jpg", "102flowers.tgz")
    return ["--source", str(place)]
