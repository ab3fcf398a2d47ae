"""Object masks of COCO: polygons or run lengths, checked here because pycocotools checks little."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coarsecon.errors import InputError
from coarsecon.runtime.extras import require_extra

RunLengths = dict[str, Any]
"""Compressed form of pycocotools: `size` [height, width] and `counts` as bytes."""


@dataclass(frozen=True)
class Segmentation:
    """Polygons [K, 2] of a mask in pixels, inside the image, or its run lengths, column by column."""

    polygons: Sequence[NDArray[np.float32]] = ()
    counts: NDArray[np.int64] | None = None


def require_pycocotools() -> Any:
    """Import `pycocotools.mask`; raises InputError where it is not installed."""
    return require_extra("detect", "pycocotools.mask", needed_by="detection")


def read_segmentation(value: Any, size: tuple[int, int], where: str) -> Segmentation:
    """Read the `segmentation` of a COCO annotation for an image of `size` (height, width).

    Raises:
        InputError: It is malformed, or not of that size.
    """
    if isinstance(value, list) and value:
        return Segmentation(polygons=[_polygon(points, size, where) for points in value])
    if isinstance(value, dict) and value.get("size") == list(size):
        counts = value.get("counts")
        lengths = _decompressed(counts, where) if isinstance(counts, str) else counts
        numbers = lengths if isinstance(lengths, list) else [None]
        if all(type(number) is int and number >= 0 for number in numbers) and sum(numbers) == size[0] * size[1]:
            return Segmentation(counts=np.array(numbers, np.int64))
    raise InputError(where, f"segmentation is neither polygons nor the run lengths of {size[1]} x {size[0]} px")


def _polygon(points: Any, size: tuple[int, int], where: str) -> NDArray[np.float32]:
    try:
        corners = np.array(points, np.float32)
    except (TypeError, ValueError, OverflowError):
        corners = np.zeros(0, np.float32)
    if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2 or not np.isfinite(corners).all():
        raise InputError(where, "a polygon of a segmentation is x, y, x, y, ... of three corners or more")
    height, width = size
    return corners.reshape(-1, 2).clip(0, np.array([width, height], np.float32))


def _decompressed(text: str, where: str) -> list[int]:
    """Decompress COCO's run lengths: 5 bits per character, differences from the fourth on.

    A number too long for any image is rejected.
    """
    lengths: list[int] = []
    value, shift = 0, 0
    for character in text.encode("ascii", "replace"):
        code = character - 48
        if not 0 <= code < 64 or shift > 35:
            raise InputError(where, "the run lengths of a segmentation are malformed")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise InputError(where, "the run lengths of a segmentation end too early")
    return lengths


def encode(mask: Segmentation, size: tuple[int, int]) -> RunLengths:
    """Encode a mask in the compressed form of pycocotools."""
    rle = require_pycocotools()
    height, width = size
    if mask.counts is not None:
        return rle.frPyObjects({"size": [height, width], "counts": mask.counts.tolist()}, height, width)
    return rle.merge(rle.frPyObjects([polygon.ravel().tolist() for polygon in mask.polygons], height, width))


def decode(mask: Segmentation, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode a mask to zeros and ones [height, width]."""
    if mask.counts is None:
        return require_pycocotools().decode(encode(mask, size))
    flat = np.zeros(size[0] * size[1], np.uint8)
    for start, end in list(pairwise(np.concatenate([[0], mask.counts.cumsum()])))[1::2]:
        flat[start:end] = 1
    return flat.reshape(size, order="F")
