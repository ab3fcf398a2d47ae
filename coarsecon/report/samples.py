"""A sheet of sample images of every class: coarse classes as blocks, a row for each fine class inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from coarsecon.pictures.draw import INK, MUTED, PAPER, WELL, font, write
from coarsecon.pictures.images import fit, png
from coarsecon.pictures.rows import Pixels
from coarsecon.runtime.files import atomic_write

TILE, GAP, MARGIN = 64, 6, 36
LABEL, GUTTER = 190, 48
ROW, HEAD, TITLE = TILE + GAP, 40, 64
PROPORTION = 1.6
"""How many times higher than wide a sheet may be."""


@dataclass(frozen=True)
class SampleRow:
    """One class: its name, how many images it has, and some of them, uint8 [H, W, 3]."""

    name: str
    count: int
    images: Sequence[Pixels]


@dataclass(frozen=True)
class SampleBlock:
    """A coarse class with the rows of its fine classes."""

    name: str
    count: int
    rows: Sequence[SampleRow]


def write_samples(path: Path | str, blocks: Sequence[SampleBlock], *, title: str) -> None:
    """Write a PNG of the blocks, one below the other in as many columns as give a sheet of good proportions."""
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
    """The blocks in order, in the fewest columns that make the sheet no higher than it may be."""
    whole = sum(_height(block) for block in blocks)
    for count in range(1, len(blocks) + 1):
        columns = _fill(blocks, whole / count)
        highest = max(sum(_height(block) for block in column) for column in columns)
        if len(columns) * (width + GUTTER) * PROPORTION >= highest:
            return columns
    return [[block] for block in blocks]


def _fill(blocks: Sequence[SampleBlock], height: float) -> list[list[SampleBlock]]:
    """The blocks in columns that reach, but hardly exceed, a height."""
    columns: list[list[SampleBlock]] = [[]]
    reached = 0.0
    for block in blocks:
        if columns[-1] and reached + _height(block) / 2 > height:
            columns.append([])
            reached = 0.0
        columns[-1].append(block)
        reached += _height(block)
    return columns


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
            image = fit(pixels, TILE)
            left = x + LABEL + i * (TILE + GAP)
            sheet.paste(WELL, (left, top, left + TILE, top + TILE))
            sheet.paste(image, (left + (TILE - image.width) // 2, top + (TILE - image.height) // 2))
