"""Altered copies of images of a dataset, to measure which distances near-duplicates have."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

JPEG_QUALITY, SMALLER, CROPPED, BRIGHTER = 60, 0.75, 0.05, 1.2
"""Quality of a compressed copy; scale of a smaller one; fraction of each side that a crop removes; factor of a brighter
copy."""


def compressed(pixels: Pixels) -> Pixels:
    """Save an image uint8 [H, W, 3] as JPEG, and read it again."""
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(stream))


def smaller(pixels: Pixels) -> Pixels:
    """Shrink an image uint8 [H, W, 3]."""
    height, width = (max(1, round(side * SMALLER)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def cropped(pixels: Pixels) -> Pixels:
    """Cut a fraction of an image uint8 [H, W, 3] off at its top and left."""
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(pixels[round(height * CROPPED) :, round(width * CROPPED) :])


def brighter(pixels: Pixels) -> Pixels:
    """Multiply an image uint8 [H, W, 3] by a factor above 1."""
    return (pixels * np.float32(BRIGHTER)).clip(0, 255).astype(np.uint8)


ALTERATIONS: dict[str, Callable[[Pixels], Pixels]] = {
    f"compressed to JPEG quality {JPEG_QUALITY}": compressed,
    f"shrunk to {SMALLER:.0%}": smaller,
    f"cropped by {CROPPED:.0%}": cropped,
    f"brighter by {BRIGHTER - 1:.0%}": brighter,
}
