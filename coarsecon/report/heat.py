"""Heat maps over images, and their color scale."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from coarsecon.pictures.draw import MUTED, font, write
from coarsecon.pictures.images import fit
from coarsecon.pictures.rows import GalleryRow, Pixels

OPACITY = 0.6
"""Opacity of the hottest place over the image; the coldest has half of it."""
HEAT_SIZE = 192
"""Longer side, in pixels, of an image under its heat map."""
SCALE_NOTE = "each image on its own scale"


def heat_picture(heat: ArrayLike, size: tuple[int, int]) -> Image.Image:
    """Color heat [h, w] at a size of (width, height), scaled between its lowest and highest value."""
    return Image.fromarray(heat_colors()[(_shares(heat, size) * 255).round().astype(np.uint8)])


def overlay(pixels: Pixels, heat: ArrayLike, side: int = HEAT_SIZE) -> Pixels:
    """Show an image uint8 [H, W, 3], resized to `side`, in gray under its heat [h, w]."""
    image = fit(pixels, side)
    shares = _shares(heat, image.size)[..., None]
    opacity = OPACITY * (0.5 + 0.5 * shares)
    gray = np.asarray(image.convert("L"), np.float64)[..., None]
    mixed: Pixels = (
        (gray * (1 - opacity) + np.asarray(heat_picture(heat, image.size)) * opacity).round().astype(np.uint8)
    )
    return mixed


def with_heat(
    rows: Sequence[GalleryRow], heat_of: Callable[[Sequence[Pixels]], Sequence[ArrayLike]]
) -> list[GalleryRow]:
    """Add a heat map to every picture of the rows; `heat_of` computes the heat [h, w] of images."""
    pictures = [picture for row in rows for picture in (row.query, *(found.picture for found in row.neighbors))]
    heats = heat_of([picture.pixels for picture in pictures])
    hot = iter([p._replace(heat=overlay(p.pixels, heat)) for p, heat in zip(pictures, heats, strict=True)])
    return [GalleryRow(next(hot), [found._replace(picture=next(hot)) for found in row.neighbors]) for row in rows]


def scale_picture(width: int, height: int) -> Image.Image:
    """Draw the colors from cold to hot, left to right."""
    return Image.fromarray(heat_colors()[np.linspace(0, 255, width).round().astype(np.uint8)][None].repeat(height, 0))


def draw_scale(sheet: Image.Image, at: tuple[int, int]) -> None:
    """Draw the color scale with its meaning."""
    draw = ImageDraw.Draw(sheet)
    x, y = at
    write(draw, (x, y), "low norm", 14, MUTED)
    x += round(font(14).getlength("low norm")) + 10
    sheet.paste(scale_picture(120, 14), (x, y + 3))
    write(draw, (x + 130, y), f"high norm, {SCALE_NOTE}", 14, MUTED)


def _shares(heat: ArrayLike, size: tuple[int, int]) -> NDArray[np.float64]:
    """Resize heat [h, w] smoothly to [height, width] and scale it to 0 to 1; 0 if it is constant."""
    values = np.asarray(heat, np.float32)
    spread = float(values.max() - values.min())
    shares = (values - values.min()) / (spread if spread > 1e-6 * float(np.abs(values).max()) else np.inf)
    return np.asarray(Image.fromarray(shares).resize(size, Image.Resampling.BILINEAR), np.float64).clip(0, 1)


@cache
def heat_colors() -> NDArray[np.uint8]:
    """Return the color scale [256, 3] of heat maps: perceptually uniform, also in gray."""
    from matplotlib import colormaps

    return (colormaps["inferno"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
