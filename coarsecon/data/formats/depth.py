"""Gray images of more than 8 bits, and of floats, to 8 bits."""

from typing import Any

import numpy as np
from PIL import Image

USUAL_RANGES = (255, 1023, 4095, 16383, 65535)
"""The highest values of 8, 10, 12, 14 and 16 bits: cameras and scanners use fewer bits than their files hold."""
DARKEST_FRACTION = 1 / 16
"""An image whose highest value is a smaller fraction of its range would appear black."""
SAMPLE_FORMAT, UNSIGNED = 339, 1
"""The TIFF tag of the sample format, and its default value."""


def is_deep_gray(image: Image.Image) -> bool:
    """Return whether the image has one channel of more than 8 bits: integers or floats."""
    return image.mode == "F" or image.mode.startswith("I")


def gray_to_8_bits(image: Image.Image, source: Image.Image) -> Image.Image:
    """Scale a deep gray image to mode L; `source` is the opened file that its pixels come from.

    See `scale_to_8_bits` for the range. PGM files declare theirs, and Pillow scales them to 16 bits.

    Raises:
        ValueError: no pixel has a finite value.
    """
    values = np.asarray(image)
    tags: Any = getattr(source, "tag_v2", None)
    if tags is not None and values.dtype == np.int32 and UNSIGNED in np.atleast_1d(tags.get(SAMPLE_FORMAT, UNSIGNED)):
        values = values.view(np.uint32)
    return Image.fromarray(scale_to_8_bits(values, white=65535 if source.format == "PPM" else None))


def scale_to_8_bits(values: np.ndarray, white: float | None = None) -> np.ndarray:
    """Scale gray values [H, W] of any type to uint8 [H, W].

    Zero becomes black, and `white` 255. Without it white is the highest value of the smallest usual range that holds
    all pixels: 1 for floats, else that of 8, 10, 12, 14 or 16 bits. An image that would appear black in this range, and
    one with negative or larger values, is stretched from its lowest to its highest value. Pixels that are not finite
    become black.

    Raises:
        ValueError: no pixel has a finite value.
    """
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueError("no pixel has a finite value")
    low, high = float(values[finite].min()), float(values[finite].max())
    black = 0.0
    if white is None:
        ranges = (1, *USUAL_RANGES) if values.dtype.kind == "f" else USUAL_RANGES
        white = next((top for top in ranges if high <= top), None)
        if low < 0 or white is None:
            black, white = low, high
        elif high < DARKEST_FRACTION * white:
            white = high
    fractions = (np.where(finite, values, black).astype(np.float64) - black) / ((white - black) or 1)
    rounded: np.ndarray = np.floor(fractions * 255 + 0.5).astype(np.uint8)
    return rounded


def refuse_dark_16_bit_color(image: Image.Image, raw_modes: str) -> None:
    """Refuse 16-bit color whose values fit 12 bits: Pillow keeps the high byte only, which is black or nearly so.

    `raw_modes` describes how the file stores its pixels, which an opened image knows until it is loaded.

    Raises:
        ValueError: it is such an image.
    """
    if ";16" not in raw_modes or image.mode not in ("RGB", "RGBA", "LA"):
        return
    if np.asarray(image)[..., : len(image.mode.rstrip("A"))].max() < 16:
        raise ValueError("16-bit color with values of 12 bits or fewer; save it with 8 bits per channel")
