"""A 2-d map of features: a PNG with one panel per level of labels, and a page to zoom into and hover over."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, sqrt
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from coarsecon.errors import InputError
from coarsecon.files import atomic_write
from coarsecon.report.draw import INK, MUTED, PAPER, WELL, Colour, font, shorten
from coarsecon.report.images import data_uri, fit, jpeg, png
from coarsecon.report.page import asset, page
from coarsecon.report.palette import UNKNOWN, palette
from coarsecon.report.rows import Pixels

LabelSet = tuple[ArrayLike, Sequence[str]]
"""Labels [N] of one level, -1 where unknown, and the names of its classes."""

PANEL, MARGIN = 760, 40
SUPERSAMPLING = 3
LEGEND_LIMIT, LEGEND_COLUMNS, LEGEND_LINE = 20, 4, 26

ATLAS_PIXELS = 32_000_000
LARGEST_TILE = 112
BLOCK = 16
"""JPEG's unit: tiles of whole blocks do not bleed into each other."""


def write_map_png(path: Path | str, points: ArrayLike, levels: Mapping[str, LabelSet], *, title: str = "") -> None:
    """Draw points [N, 2] once per level of labels, coloured by class; a legend where the classes are few.

    Raises InputError when a level has not one label per point, or a label without a name.
    """
    places = _unit_square(points)
    labels_of = {level: _labels(level, label_set, len(places)) for level, label_set in levels.items()}
    lines = max((_legend_lines(names) for _, names in levels.values()), default=0)
    top = MARGIN + (44 if title else 0)
    panel_top = top + 36
    width = MARGIN + max(1, len(levels)) * (PANEL + MARGIN)
    sheet = Image.new("RGB", (width, panel_top + PANEL + lines * LEGEND_LINE + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN - 10), shorten(title, width - 2 * MARGIN, font(28)), INK, font(28))
    for column, (level, (_, names)) in enumerate(levels.items()):
        x = MARGIN + column * (PANEL + MARGIN)
        labels, colours = labels_of[level], palette(len(names))
        draw.text((x, top), level, INK, font(20))
        draw.text((x + font(20).getlength(level) + 12, top + 4), _counts(labels), MUTED, font(15))
        sheet.paste(_panel(places, labels, colours), (x, panel_top))
        if _legend_lines(names):
            _legend(draw, (x, panel_top + PANEL + 18), names, colours)
    atomic_write(path, png(sheet))


def write_map_html(
    path: Path | str,
    points: ArrayLike,
    thumbnails: Sequence[Pixels],
    levels: Mapping[str, LabelSet],
    *,
    title: str,
    names: Sequence[str] | None = None,
) -> None:
    """Write points [N, 2] as a self-contained page to zoom and drag, with the image under the pointer shown.

    thumbnails: one uint8 [H, W, 3] per point; names: what to call each image. All images go into one
    picture of about 32 million pixels at most, so that a browser can hold the page. Raises InputError as
    `write_map_png` does, and when the images are not as many as the points.
    """
    places = _unit_square(points)
    if not len(places) == len(thumbnails) == len(names or thumbnails):
        raise InputError(f"a map of {len(places)} points needs as many images and names")
    tile, columns, atlas = _atlas(thumbnails)
    data = {
        "points": places.round(4).tolist(),
        "names": list(names or []),
        "levels": [
            {
                "name": level,
                "labels": _labels(level, label_set, len(places)).tolist(),
                "classes": list(label_set[1]),
                "colours": [_css(colour) for colour in palette(len(label_set[1]))],
            }
            for level, label_set in levels.items()
        ],
        "unknown": _css(UNKNOWN),
        "tile": tile,
        "columns": columns,
    }
    body = Template(asset("map.html")).substitute(
        title=escape(title),
        atlas=data_uri("jpeg", jpeg(atlas)),
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    )
    atomic_write(path, page(title, body, styles=["page.css", "map.css"], script="map.js"))


def _unit_square(points: ArrayLike) -> NDArray[np.float64]:
    """The points [N, 2] moved and scaled, both axes alike, into the middle of the unit square."""
    places = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if len(places) == 0 or not np.isfinite(places).all():
        raise InputError("a map needs at least one point, and finite coordinates")
    low, high = places.min(axis=0), places.max(axis=0)
    return (places - (low + high) / 2) / (max(high - low) or 1.0) + 0.5


def _labels(level: str, label_set: LabelSet, count: int) -> NDArray[np.int64]:
    labels = np.asarray(label_set[0], dtype=np.int64)
    if labels.shape != (count,):
        raise InputError(f"{count} points but {labels.size} {level} labels: each point needs one, -1 if unknown")
    if labels.max() >= len(label_set[1]):
        raise InputError(f"{level} label {labels.max()} has no name: {len(label_set[1])} classes are named")
    return labels


def _panel(places: NDArray[np.float64], labels: NDArray[np.int64], colours: list[Colour]) -> Image.Image:
    """The points as discs on a panel, drawn large and shrunk for smooth edges."""
    side = PANEL * SUPERSAMPLING
    panel = Image.new("RGB", (side, side), PAPER)
    draw = ImageDraw.Draw(panel, "RGBA")
    radius = SUPERSAMPLING * min(6.0, max(1.8, PANEL * 0.16 / sqrt(len(places))))
    centres = radius * 2 + places * (side - radius * 4)
    # Unknown ones lie beneath; the others in mixed order, so that no class hides the rest.
    order = np.random.default_rng(0).permutation(len(places))
    for i in order[np.argsort(labels[order] >= 0, kind="stable")]:
        x, y = centres[i]
        colour = colours[labels[i]] if labels[i] >= 0 else UNKNOWN
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*colour, 205))
    panel = panel.resize((PANEL, PANEL), Image.Resampling.BOX)
    ImageDraw.Draw(panel).rectangle((0, 0, PANEL - 1, PANEL - 1), outline=WELL, width=2)
    return panel


def _counts(labels: NDArray[np.int64]) -> str:
    known = labels[labels >= 0]
    classes = f"{len(np.unique(known))} classes"
    unlabelled = len(labels) - len(known)
    return f"{classes}, {unlabelled} images unlabelled (grey)" if unlabelled else classes


def _legend_lines(names: Sequence[str]) -> int:
    return ceil(len(names) / LEGEND_COLUMNS) if len(names) <= LEGEND_LIMIT else 0


def _legend(draw: ImageDraw.ImageDraw, at: tuple[int, int], names: Sequence[str], colours: list[Colour]) -> None:
    step = PANEL // LEGEND_COLUMNS
    for i, (name, colour) in enumerate(zip(names, colours, strict=True)):
        x, y = at[0] + i % LEGEND_COLUMNS * step, at[1] + i // LEGEND_COLUMNS * LEGEND_LINE
        draw.rounded_rectangle((x, y, x + 13, y + 13), 4, fill=colour)
        draw.text((x + 21, y - 2), shorten(name, step - 30, font(15)), INK, font(15))


def _atlas(thumbnails: Sequence[Pixels]) -> tuple[int, int, Image.Image]:
    """All images in one, row by row in square tiles: the side of a tile, the tiles in a row, the picture."""
    largest = max(max(pixels.shape[:2]) for pixels in thumbnails)
    affordable = int(sqrt(ATLAS_PIXELS / len(thumbnails)))
    tile = BLOCK * max(1, min(affordable // BLOCK, ceil(largest / BLOCK), LARGEST_TILE // BLOCK))
    columns = ceil(sqrt(len(thumbnails)))
    atlas = Image.new("RGB", (columns * tile, ceil(len(thumbnails) / columns) * tile), WELL)
    for i, pixels in enumerate(thumbnails):
        image = fit(pixels, tile)
        corner = (i % columns * tile, i // columns * tile)
        atlas.paste(image, (corner[0] + (tile - image.width) // 2, corner[1] + (tile - image.height) // 2))
    return tile, columns, atlas


def _css(colour: Colour) -> str:
    return "#" + bytes(colour).hex()
