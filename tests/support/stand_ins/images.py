"""Small image files, and a dataset in memory."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coarsecon.data.sources import SourceData, SplitData, toy


def picture(size: tuple[int, int] = (12, 8), seed: int = 0) -> Image.Image:
    """A few blurred patches of color, which differ by `seed`."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BILINEAR)


def encoded(format: str = "JPEG", size: tuple[int, int] = (12, 8), seed: int = 0, mode: str = "RGB") -> bytes:
    """Such a picture as the bytes of a file."""
    out = io.BytesIO()
    picture(size, seed).convert(mode).save(out, format)
    return out.getvalue()


def _save_image(path: Path, size: tuple[int, int] = (12, 8), seed: int = 0, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(size, seed).save(path, **options)
    return path


@pytest.fixture
def save_image() -> Callable[..., Path]:
    """Saves a small picture to a path: `save_image(path, (width, height), seed, **options)`."""
    return _save_image


def write_class_folders(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes images in folders of two coarse and four fine classes, under train and test."""
    for i in range(48):
        split = "test" if i % 3 == 0 else "train"
        _save_image(place / split / f"coarse{i // 4 % 2}" / f"fine{i % 4}" / f"{i}.png", seed=i)
    return ["--source", str(place), "--size", "32"]


def write_table(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes a table of images with two coarse and, for some, four fine classes."""
    rows = []
    for i in range(32):
        _save_image(place / "images" / f"{i}.png", seed=i)
        rows.append(
            f"images/{i}.png,coarse{i % 2},{f'fine{i % 4}' if i % 5 else ''},{'test' if i % 4 == 3 else 'train'}"
        )
    (place / "table.csv").write_text("\n".join(["path,coarse,fine,split", *rows]) + "\n")
    return ["--table", str(place / "table.csv"), "--size", "32"]


def write_toy(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes nothing: the package draws these, here only a few."""
    monkeypatch.setattr(toy.SOURCE, "counts", {"train": 64, "test": 16})
    return []


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
