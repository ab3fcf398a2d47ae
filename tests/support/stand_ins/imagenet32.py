"""ImageNet32 in small: eleven batches of the published structure, as pickles or npz files."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coarsecon.data.sources import imagenet32

COUNTS = {"train": 2000, "test": 1000}


def batches() -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and content of each file: classes are counted from 1, in ImageNet32's order."""
    for number in range(11):
        count = 200 if number < 10 else 1000
        data = np.random.default_rng(number).integers(0, 256, (count, 3072), dtype=np.uint8)
        labels = [(200 * number + i) % 1000 + 1 for i in range(count)]
        batch: dict[str, Any] = {"data": data, "labels": labels}
        if number < 10:
            batch["mean"] = data.mean(axis=0)
        yield (f"train_data_batch_{number + 1}" if number < 10 else "val_data"), batch


def write_pickles(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that Imagenet32_train.zip and Imagenet32_val.zip unpack to."""
    monkeypatch.setattr(imagenet32.SOURCE, "counts", COUNTS)
    for name, batch in batches():
        folder = place / ("Imagenet32_val" if name == "val_data" else "Imagenet32_train")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(pickle.dumps(batch, 3))
    return ["--source", str(place)]


def write_npz(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that Imagenet32_train_npz.zip and Imagenet32_val_npz.zip unpack to."""
    monkeypatch.setattr(imagenet32.SOURCE, "counts", COUNTS)
    for name, batch in batches():
        folder = place / ("Imagenet32_val_npz" if name == "val_data" else "Imagenet32_train_npz")
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / f"{name}.npz", **batch)
    return ["--source", str(place)]
