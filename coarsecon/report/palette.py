"""Distinct colors for classes, equally visible on light and dark backgrounds."""

import math
from collections.abc import Sequence

from coarsecon.pictures.draw import Color

UNKNOWN: Color = (168, 168, 164)
"""Color of items without a label."""


def palette(count: int) -> list[Color]:
    """Return `count` colors around the hue circle of OKLCH, with lightness in steps so that neighbors differ."""
    levels = (0.68,) if count <= 7 else (0.72, 0.56) if count <= 14 else (0.76, 0.63, 0.50)
    return [_oklch(levels[i % len(levels)], 0.145, math.tau * (i / count + 0.07)) for i in range(count)]


def nested_palette(parents: Sequence[int]) -> list[Color]:
    """Return a color for each class, given its class of the coarser level.

    Classes of one parent, which are close on a map, are as far apart on the hue circle as possible; those of different
    parents may be similar.
    """
    colors = []
    for child, parent in enumerate(parents):
        siblings = [other for other, its in enumerate(parents) if its == parent]
        place = siblings.index(child)
        turn = (place + 0.618 * parent % 1) / len(siblings)
        colors.append(_oklch((0.76, 0.63, 0.50)[(place + parent) % 3], 0.145, math.tau * turn))
    return colors


def _oklch(lightness: float, chroma: float, hue: float) -> Color:
    """Convert OKLCH to 8-bit sRGB, clipped (Ottosson, "A perceptual color space for image processing", 2020)."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    red, green, blue = (round(255 * _gamma(min(1.0, max(0.0, value)))) for value in linear)
    return red, green, blue


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
