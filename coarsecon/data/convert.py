"""Image files to the form they are kept in: small squares for one array, or shrunk JPEG copies."""

from collections.abc import Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from coarsecon.data.images import ImageFile, is_upright, opened, read_bytes, upright_rgb
from coarsecon.data.pool import map_ahead
from coarsecon.data.schema import Channels

ARRAY_MAX_SIZE = 64
"""Images of at most this side are kept as one array of squares, larger ones as files."""


class Jpeg(NamedTuple):
    """An image as it is kept: its JPEG bytes, and the `histogram` [3, 256] of its pixels."""

    content: bytes
    histogram: np.ndarray


def squares(files: Sequence[ImageFile], size: int, workers: int) -> Iterator[np.ndarray]:
    """Each file's image resized (antialiased bilinear) to uint8 [3, size, size], whatever its proportions."""
    return map_ahead(partial(_square, size=size), files, threads=workers, ahead=8 * workers)


def jpegs(files: Sequence[ImageFile], size: int, workers: int) -> Iterator[Jpeg]:
    """Each file's image with a shorter side of at most 8/7 `size`, as the usual resize before a centre crop.

    Upright RGB JPEGs that are small enough are taken byte for byte, others become JPEGs of quality 95, 4:4:4.
    """
    convert = partial(_jpeg, shorter_side=round(size * 8 / 7))
    return map_ahead(convert, files, threads=workers, ahead=8 * workers)


def histogram(pixels: np.ndarray) -> np.ndarray:
    """How often each value occurs in each channel of uint8 [N, 3, H, W], as int64 [3, 256]."""
    counts = np.zeros((3, 256), np.int64)
    for start in range(0, len(pixels), 1024):
        chunk = pixels[start : start + 1024]
        counts += [np.bincount(chunk[:, channel].ravel(), minlength=256) for channel in range(3)]
    return counts


def mean_and_std(counts: np.ndarray) -> tuple[Channels, Channels]:
    """The mean and standard deviation of each channel, on a scale of 0 to 1, from a `histogram`."""
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    std = np.sqrt((shares @ values**2 - mean**2).clip(0))
    return (mean[0].item(), mean[1].item(), mean[2].item()), (std[0].item(), std[1].item(), std[2].item())


def as_prepared(file: Path, size: int) -> np.ndarray:
    """A file's image as it would be prepared for an encoder of `size`, uint8 [H, W, 3]; for queries."""
    with opened(file) as image:
        return prepared(image, size)


def prepared(image: Image.Image, size: int) -> np.ndarray:
    """An image as it would be prepared for an encoder of `size`, uint8 [H, W, 3]."""
    if size <= ARRAY_MAX_SIZE:
        return np.asarray(_squared(image, size))
    return np.asarray(_shrunk(upright_rgb(image), round(size * 8 / 7)))


def _square(file: ImageFile, size: int) -> np.ndarray:
    with opened(file) as image:
        return np.asarray(_squared(image, size)).transpose(2, 0, 1)


def _squared(image: Image.Image, size: int) -> Image.Image:
    return upright_rgb(image).resize((size, size), Image.Resampling.BILINEAR)


def _shrunk(image: Image.Image, shorter_side: int) -> Image.Image:
    if min(image.size) <= shorter_side:
        return image
    scale = shorter_side / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _jpeg(file: ImageFile, shorter_side: int) -> Jpeg:
    with opened(file) as image:
        is_small = min(image.size) <= shorter_side
        is_kept = is_small and image.format == "JPEG" and image.mode == "RGB" and is_upright(image)
        pixels = _shrunk(upright_rgb(image), shorter_side)
        content = read_bytes(file) if is_kept else _encode(pixels)
    return Jpeg(content, np.array(pixels.histogram()).reshape(3, 256))


def _encode(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()
