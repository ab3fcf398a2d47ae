"""Queries with their neighbors, and heat maps, side by side in one PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from coarsecon.pictures.draw import INK, MARKS, MUTED, PAPER, WELL, font, write
from coarsecon.pictures.grid import GAP, MARGIN, STEP, TILE, paste_tile
from coarsecon.pictures.images import fit, png
from coarsecon.pictures.origin import Origin
from coarsecon.pictures.rows import VERDICTS, GalleryRow, Picture, Verdict, judge
from coarsecon.report.heat import draw_scale, heat_picture, overlay
from coarsecon.runtime.files import atomic_write

LINE, BADGE, HEAT_GAP = 19, 24, 6
STROKES = {  # in units of the badge's side
    "right": [(0.26, 0.52), (0.44, 0.70), (0.76, 0.32)],
    "near": [(0.24, 0.56), (0.38, 0.40), (0.62, 0.60), (0.76, 0.44)],
    "wrong": [(0.30, 0.30), (0.70, 0.70), (0.50, 0.50), (0.70, 0.30), (0.30, 0.70)],
}


def write_sheet(path: Path | str, rows: Sequence[GalleryRow], *, title: str = "", origin: Origin | None = None) -> None:
    """Write a PNG with a row for each query and its neighbors, marked by `rows.judge`, above their heat maps."""
    columns = max((len(row.neighbors) for row in rows), default=0)
    hot = any(row.query.heat is not None for row in rows)
    first = MARGIN + STEP + 2 * GAP
    head, row_height = MARGIN + 72 + hot * 30, TILE + 2 * LINE + 28 + hot * (TILE + HEAT_GAP)
    width = max(first + columns * STEP - GAP, 640) + MARGIN
    sheet = Image.new("RGB", (width, head + len(rows) * row_height + 8), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, MARGIN - 8), title, 26, INK, width - 2 * MARGIN)
    for i, row in enumerate(rows):
        y = head + i * row_height
        _tile(sheet, row.query, (MARGIN, y))
        draw.line((first - 1.5 * GAP, y, first - 1.5 * GAP, y + TILE + hot * (TILE + HEAT_GAP)), WELL, 2)
        for rank, (picture, score) in enumerate(row.neighbors):
            _tile(sheet, picture, (first + rank * STEP, y), f"{score:.3f}", judge(row.query, picture))
    seen = {judge(row.query, picture) for row in rows for picture, _ in row.neighbors}
    x = MARGIN
    for verdict in (verdict for verdict in VERDICTS if verdict in seen):
        _badge(sheet, verdict, (x, MARGIN + 32))
        write(draw, (x + BADGE + 8, MARGIN + 35), verdict.meaning, 14, MUTED)
        x += BADGE + 36 + int(font(14).getlength(verdict.meaning))
    if hot:
        draw_scale(sheet, (MARGIN, MARGIN + 66))
    atomic_write(path, png(sheet, origin))


def write_heat_sheet(
    path: Path | str,
    pictures: Sequence[Picture],
    heats: Sequence[ArrayLike],
    *,
    title: str,
    origin: Origin | None = None,
) -> None:
    """Write a PNG of images with their heat maps and both together, in up to three groups of three columns."""
    wide = min(3, max(1, -(-len(pictures) // 6)))
    block = 3 * STEP + 2 * GAP
    head, row_height = MARGIN + 76, TILE + 2 * LINE + 16
    named = min(int(font(22, title).getlength(title)) + 1, 900)
    width = 2 * MARGIN + max(wide * block - 3 * GAP, 490, named)
    sheet = Image.new("RGB", (width, head + -(-len(pictures) // wide) * row_height + 8), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, MARGIN - 8), title, 22, INK, width - 2 * MARGIN)
    draw_scale(sheet, (MARGIN, MARGIN + 34))
    for i, (picture, heat) in enumerate(zip(pictures, heats, strict=True)):
        x, y = MARGIN + i % wide * block, head + i // wide * row_height
        image = fit(picture.pixels, TILE)
        shown = (picture.pixels, np.asarray(heat_picture(heat, image.size)), overlay(picture.pixels, heat, TILE))
        for column, pixels in enumerate(shown):
            paste_tile(sheet, pixels, (x + column * STEP, y))
        values = np.asarray(heat)
        labels = ", ".join(label for label in (picture.fine, picture.coarse) if label)
        name, room = picture.name.split("/")[-1], 3 * STEP - GAP
        write(draw, (x, y + TILE + 5), labels or name, 14, INK, room)
        below = f"norm {values.min():.3g} to {values.max():.3g}" + f", {name}" * bool(labels)
        write(draw, (x, y + TILE + 5 + LINE), below, 14, MUTED, room)
    atomic_write(path, png(sheet, origin))


def _tile(
    sheet: Image.Image, picture: Picture, at: tuple[int, int], score: str = "", verdict: Verdict | None = None
) -> None:
    """Draw an image with its mark and caption; `at` is the upper left corner."""
    x, y = at
    draw = ImageDraw.Draw(sheet)
    paste_tile(sheet, picture.pixels, at)
    if verdict is not None:
        draw.rectangle((x - 2, y - 2, x + TILE + 1, y + TILE + 1), outline=MARKS[verdict.kind], width=4)
        _badge(sheet, verdict, (x + TILE - BADGE + 6, y - 6))
    if picture.heat is not None:
        y += TILE + HEAT_GAP
        paste_tile(sheet, picture.heat, (x, y))
    labels = [label for label in (picture.fine, picture.coarse) if label is not None]
    below = [labels[0] if labels else picture.name, "  ".join(filter(None, [score, *labels[1:]]))]
    for line, (text, color) in enumerate(zip(below, (INK, MUTED), strict=True)):
        write(draw, (x, y + TILE + 7 + line * LINE), text, 14, color, TILE)


def _badge(sheet: Image.Image, verdict: Verdict, at: tuple[int, int]) -> None:
    """Draw a check in a disc, a wave in a square or a cross in a ring, distinguishable without color."""
    side = 4 * BADGE  # drawn large and shrunk, for smooth edges
    color = MARKS[verdict.kind]
    badge = Image.new("RGBA", (side, side), (*color, 0))
    draw = ImageDraw.Draw(badge)
    box = (4, 4, side - 5, side - 5)
    stroke = PAPER
    if verdict.kind == "near":
        draw.rounded_rectangle(box, side // 5, fill=color, outline=PAPER, width=6)
    elif verdict.kind == "right":
        draw.ellipse(box, fill=color, outline=PAPER, width=6)
    else:
        draw.ellipse(box, fill=PAPER, outline=color, width=10)
        stroke = color
    draw.line([(side * x, side * y) for x, y in STROKES[verdict.kind]], stroke, 11, joint="curve")
    badge = badge.resize((BADGE, BADGE), Image.Resampling.LANCZOS)
    sheet.paste(badge, at, badge)
