"""Heat maps over images, and their scale of colors."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from coarsecon.pictures.draw import MUTED, font, write
from coarsecon.pictures.images import fit
from coarsecon.pictures.rows import GalleryRow, Pixels
from coarsecon.report.palette import heat_colors

OPACITY = 0.6
"""Of the hottest place over the image; the coldest covers half as much."""
SHOWN = 192
"""The longer side of a picture under its heat map."""
SCALE_NOTE = "each image on its own scale"


def heat_picture(heat: ArrayLike, size: tuple[int, int]) -> Image.Image:
    """Heat [h, w] as a colored picture of (width, height), between its own lowest and highest value."""
    return Image.fromarray(_COLORS[(_shares(heat, size) * 255).round().astype(np.uint8)])


def overlay(pixels: Pixels, heat: ArrayLike, side: int = SHOWN) -> Pixels:
    """An image uint8 [H, W, 3], fitted into `side`, in gray under its heat [h, w]."""
    image = fit(pixels, side)
    shares = _shares(heat, image.size)[..., None]
    opacity = OPACITY * (0.5 + 0.5 * shares)
    gray = np.asarray(image.convert("L"), np.float64)[..., None]
    mixed: Pixels = (
        (gray * (1 - opacity) + np.asarray(heat_picture(heat, image.size)) * opacity).round().astype(np.uint8)
    )
    return mixed


def with_heat(rows: Sequence[GalleryRow], look: Callable[[Sequence[Pixels]], Sequence[ArrayLike]]) -> list[GalleryRow]:
    """The rows with every picture's heat map; `look` gives the heat [h, w] of each of the images it is handed."""
    pictures = [picture for row in rows for picture in (row.query, *(found.picture for found in row.neighbors))]
    heats = look([picture.pixels for picture in pictures])
    hot = iter([p._replace(heat=overlay(p.pixels, heat)) for p, heat in zip(pictures, heats, strict=True)])
    return [GalleryRow(next(hot), [found._replace(picture=next(hot)) for found in row.neighbors]) for row in rows]


def scale_picture(width: int, height: int) -> Image.Image:
    """The colors from cold to hot, left to right."""
    return Image.fromarray(_COLORS[np.linspace(0, 255, width).round().astype(np.uint8)][None].repeat(height, 0))


def draw_scale(sheet: Image.Image, at: tuple[int, int]) -> None:
    """The colors from cold to hot with what they mean."""
    draw = ImageDraw.Draw(sheet)
    x, y = at
    write(draw, (x, y), "low norm", 14, MUTED)
    x += round(font(14).getlength("low norm")) + 10
    sheet.paste(scale_picture(120, 14), (x, y + 3))
    write(draw, (x + 130, y), f"high norm, {SCALE_NOTE}", 14, MUTED)


def _shares(heat: ArrayLike, size: tuple[int, int]) -> NDArray[np.float64]:
    """Heat [h, w] enlarged smoothly to [height, width]: 0 at its lowest location, 1 at its highest; 0 if even."""
    values = np.asarray(heat, np.float32)
    spread = float(values.max() - values.min())
    shares = (values - values.min()) / (spread if spread > 1e-6 * float(np.abs(values).max()) else np.inf)
    return np.asarray(Image.fromarray(shares).resize(size, Image.Resampling.BILINEAR), np.float64).clip(0, 1)


_COLORS = np.array(heat_colors(), np.uint8)
