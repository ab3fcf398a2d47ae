"""Map of features as an interactive page: zoom, images on hover, class filter, and lasso selection saved as CSV."""

from math import ceil, sqrt
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from coarsecon.pictures.draw import WELL, css
from coarsecon.pictures.images import data_uri, fit, jpeg
from coarsecon.pictures.origin import Origin
from coarsecon.pictures.rows import Pixels
from coarsecon.report.feature_map import FeatureMap
from coarsecon.report.page import Fragment, render, write_page
from coarsecon.report.palette import UNKNOWN

SCRIPTS = ("map_points.js", "map_plane.js", "map_paint.js", "map.js")

ATLAS_PIXELS = 32_000_000
LARGEST_TILE = 112
BLOCK = 16
"""Block size of JPEG: tiles of complete blocks do not bleed into each other."""


def write_map_html(path: Path | str, drawn: FeatureMap, *, origin: Origin | None = None) -> None:
    """Write the map as a self-contained page that fills the window.

    All images are in one picture of at most about 32 million pixels, which browsers can hold.
    """
    write_page(path, drawn.title, map_fragment(drawn, level=1), layout="full", origin=origin)


def map_fragment(drawn: FeatureMap, *, level: Literal[1, 2, 3, 4] = 2) -> Fragment:
    """Render the map as part of a page, 44 rem high if there is room, under a heading of `level`.

    A page may contain several maps; the style is limited to `.map`, and there are no ids.
    """
    tile, columns, atlas = _atlas(drawn)
    data: dict[str, Any] = {
        "points": drawn.points.round(5).tolist(),
        "names": list(drawn.names),
        "levels": [
            {
                "name": shown.name,
                "labels": shown.labels.tolist(),
                "classes": list(shown.classes),
                "parents": shown.parents,
                "colors": [css(color) for color in shown.colors],
                "note": shown.color_note,
            }
            for shown in drawn.levels
        ],
        "weights": drawn.weights and {"points": drawn.weights.points.round(5).tolist(), "level": drawn.weights.level},
        "unknown": css(UNKNOWN),
        "tile": tile,
        "columns": columns,
    }
    html = render("map.html", level=level, title=drawn.title, atlas=data_uri("jpeg", jpeg(atlas)), data=data)
    return Fragment(html, styles=("map.css",), scripts=SCRIPTS)


def _atlas(drawn: FeatureMap) -> tuple[int, int, Image.Image]:
    """Arrange all images in square tiles; returns the size of a tile, the tiles per row, and the picture."""
    count = len(drawn)
    affordable = min(LARGEST_TILE, int(sqrt(ATLAS_PIXELS / count)))
    tile = BLOCK * max(1, affordable // BLOCK)
    images = [_shrunk(drawn.pixels(i), tile) for i in range(count)]
    tile = BLOCK * ceil(max(max(image.size) for image in images) / BLOCK)
    columns = ceil(sqrt(count))
    atlas = Image.new("RGB", (columns * tile, ceil(count / columns) * tile), WELL)
    for i, image in enumerate(images):
        corner = (i % columns * tile, i // columns * tile)
        atlas.paste(image, (corner[0] + (tile - image.width) // 2, corner[1] + (tile - image.height) // 2))
    return tile, columns, atlas


def _shrunk(pixels: Pixels, side: int) -> Image.Image:
    return fit(pixels, min(side, max(pixels.shape[:2])))
