"""Contact sheet of sample images: coarse classes as blocks, with a row for each fine class."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path

from PIL import Image, ImageDraw

from coarsecon.pictures.draw import INK, MUTED, PAPER, WELL, font, write
from coarsecon.pictures.grid import paste_tile
from coarsecon.pictures.images import png
from coarsecon.pictures.rows import Pixels
from coarsecon.runtime.files import atomic_write

TILE, GAP, MARGIN = 64, 6, 36
LABEL, GUTTER = 190, 48
ROW, HEAD, TITLE = TILE + GAP, 40, 64
MAX_ASPECT_RATIO = 1.6
"""Largest ratio of height to width of a sheet."""


@dataclass(frozen=True)
class SampleRow:
    """Class with its name, number of images, and samples uint8 [H, W, 3]."""

    name: str
    count: int
    images: Sequence[Pixels]


@dataclass(frozen=True)
class SampleBlock:
    """Coarse class with the rows of its fine classes."""

    name: str
    count: int
    rows: Sequence[SampleRow]


def write_samples(path: Path | str, blocks: Sequence[SampleBlock], *, title: str) -> None:
    """Write a PNG of the blocks in as many columns as give a sheet of good proportions."""
    widest = max((len(row.images) for block in blocks for row in block.rows), default=0)
    width = LABEL + widest * (TILE + GAP)
    columns = _columns(blocks, width)
    height = max(sum(_height(block) for block in column) for column in columns)
    size = (2 * MARGIN + len(columns) * (width + GUTTER) - GUTTER, MARGIN + TITLE + height)
    sheet = Image.new("RGB", (max(size[0], 480), size[1]), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, MARGIN - 8), title, 26, INK, sheet.width - 2 * MARGIN)
    for place, column in enumerate(columns):
        x, y = MARGIN + place * (width + GUTTER), MARGIN + TITLE
        for block in column:
            _draw_block(sheet, block, (x, y), width)
            y += _height(block)
    atomic_write(path, png(sheet))


def _height(block: SampleBlock) -> int:
    return HEAD + len(block.rows) * ROW + 2 * GAP


def _columns(blocks: Sequence[SampleBlock], width: int) -> list[list[SampleBlock]]:
    """Arrange the blocks in order in about the fewest columns for which the sheet is not too high."""
    total = sum(map(_height, blocks))
    count = max(1, ceil(sqrt(total / (width + GUTTER) / MAX_ASPECT_RATIO)))
    columns: list[list[SampleBlock]] = [[] for _ in range(count)]
    above = 0
    for block in blocks:
        columns[min(count - 1, int((above + _height(block) / 2) * count / total))].append(block)
        above += _height(block)
    return list(filter(None, columns)) or [[]]


def _draw_block(sheet: Image.Image, block: SampleBlock, at: tuple[int, int], width: int) -> None:
    x, y = at
    draw = ImageDraw.Draw(sheet)
    draw.line((x, y, x + width - GAP, y), WELL, 2)
    count = f"{block.count:,}"
    write(draw, (x + width - GAP, y + 9), count, 14, MUTED, anchor="ra")
    room = width - 2 * GAP - font(14).getlength(count)
    write(draw, (x, y + 7), block.name, 18, INK, room)
    for place, row in enumerate(block.rows):
        top = y + HEAD + place * ROW
        write(draw, (x, top + 14), row.name, 14, INK, LABEL - 14)
        write(draw, (x, top + 33), f"{row.count:,}", 13, MUTED)
        for i, pixels in enumerate(row.images):
            paste_tile(sheet, pixels, (x + LABEL + i * (TILE + GAP), top), TILE)
