"""Measure every image once: hash of its pixels, perceptual hash, size, sharpness, and contrast."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from coarsecon.data.formats.images import decode
from coarsecon.data.prepared.convert import pool_for
from coarsecon.data.prepared.hashes import pixel_hash
from coarsecon.data.prepared.store import PreparedDataset, Split
from coarsecon.errors import InputError
from coarsecon.runtime.pool import map_ahead
from coarsecon.runtime.progress import Reporter

IMAGES_PER_TASK = 64
THUMBNAIL, LOW_FREQUENCIES = 32, 8
"""Sides of the gray thumbnail, and of the block of its cosine transform that is hashed."""


class ImageFacts(NamedTuple):
    """Measurements of one image.

    Attributes:
        content: Hash of the pixels, equal for equal images.
        bits: 64-bit perceptual hash.
        width: Pixels.
        height: Pixels.
        sharpness: Variance of the Laplacian of the gray image.
        contrast: Standard deviation of the gray levels, 0 to 255.
    """

    content: int
    bits: int
    width: int
    height: int
    sharpness: float
    contrast: float


@dataclass(frozen=True)
class Scan:
    """Measurements of N images, in the order of the splits; those of a broken image are 0.

    Attributes:
        content: Hashes of the pixels, uint64 [N].
        bits: Perceptual hashes, uint64 [N].
        sizes: Width and height in pixels, int64 [N, 2].
        sharpness: Variance of the Laplacian, float64 [N].
        contrast: Standard deviation of the gray levels, float64 [N].
        broken: Why images cannot be read, by number.
    """

    content: NDArray[np.uint64]
    bits: NDArray[np.uint64]
    sizes: NDArray[np.int64]
    sharpness: NDArray[np.float64]
    contrast: NDArray[np.float64]
    broken: dict[int, str]

    def __len__(self) -> int:
        return len(self.content)


def scan_dataset(dataset: PreparedDataset, *, workers: int = 2, reporter: Reporter | None = None) -> Scan:
    """Measure every image of all splits."""
    found: list[ImageFacts | str] = []
    for name, split in dataset.splits.items():
        with (reporter or Reporter()).progress(f"scanning {name}", len(split)) as progress:
            pieces = _pieces(split)
            count = max(1, workers)
            for facts in map_ahead(measure_all, pieces, pool=pool_for(count), ahead=2 * count):
                found += facts
                progress.advance(len(facts))
    broken = {i: each for i, each in enumerate(found) if isinstance(each, str)}
    empty = ImageFacts(0, 0, 0, 0, 0.0, 0.0)
    columns = list(zip(*(empty if isinstance(each, str) else each for each in found), strict=True))
    return Scan(
        np.array(columns[0], np.uint64), np.array(columns[1], np.uint64), np.array(columns[2:4], np.int64).T,
        np.array(columns[4], np.float64), np.array(columns[5], np.float64), broken,
    )  # fmt: skip


def _pieces(split: Split) -> Iterator[Sequence[Path] | Sequence[NDArray[np.uint8]]]:
    for start in range(0, len(split), IMAGES_PER_TASK):
        numbers = range(start, min(start + IMAGES_PER_TASK, len(split)))
        yield [split.image(i) for i in numbers] if split.files is None else [split.files[i] for i in numbers]


def measure_all(images: Sequence[Path] | Sequence[NDArray[np.uint8]]) -> list[ImageFacts | str]:
    """Measure image files, or images uint8 [H, W, 3]; for a broken file, return the reason."""
    return [_measured(image) for image in images]


def _measured(image: Path | NDArray[np.uint8]) -> ImageFacts | str:
    try:
        return measure(decode(image) if isinstance(image, Path) else image)
    except InputError as error:
        return str(error)


def measure(pixels: NDArray[np.uint8]) -> ImageFacts:
    """Measure an image uint8 [H, W, 3]."""
    gray = Image.fromarray(pixels).convert("L")
    levels = np.asarray(gray, np.float32)
    height, width = levels.shape
    return ImageFacts(
        pixel_hash(pixels), perceptual_hash(gray), width, height, laplacian_variance(levels), float(levels.std())
    )


def perceptual_hash(gray: Image.Image) -> int:
    """Return the 64-bit DCT hash of a gray image: signs of its lowest frequencies, relative to their median.

    Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), section 3.2.
    """
    small = np.asarray(gray.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR), np.float32)
    low = dctn(small, norm="ortho")[:LOW_FREQUENCIES, :LOW_FREQUENCIES].ravel()
    return int.from_bytes(np.packbits(low > np.median(low[1:])).tobytes(), "big")


def laplacian_variance(levels: NDArray[np.float32]) -> float:
    """Return the variance of the 4-neighbor Laplacian of gray levels [H, W]; 0 if a side has fewer than 3 pixels."""
    if min(levels.shape) < 3:
        return 0.0
    inner = levels[1:-1, 1:-1]
    return float((levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:] - 4 * inner).var())
