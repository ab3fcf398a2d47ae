"""Images side by side in one PNG, with a caption over each column."""

from pathlib import Path

from PIL import Image, ImageDraw

from coarsecon.errors import InputError
from coarsecon.pictures.draw import INK, PAPER, WELL, write
from coarsecon.pictures.images import fit, png
from coarsecon.pictures.rows import Pixels
from coarsecon.runtime.files import atomic_write

TILE, GAP, MARGIN = 128, 14, 36
"""Sizes in pixels: an image, the gap between two, and the margin of the sheet."""
STEP = TILE + GAP
LINE = 19
"""Height of a line of text in pixels."""


def write_image_grid(path: Path | str, columns: dict[str, list[Pixels]]) -> None:
    """Write a PNG with one captioned column per entry and image i of each in row i, such as the views of a batch.

    Raises:
        InputError: The columns differ in length.
    """
    lengths = {len(images) for images in columns.values()}
    if len(lengths) != 1:
        raise InputError("columns", f"must be of one length, not of {sorted(lengths)}")
    top = MARGIN + LINE + 8
    size = (2 * MARGIN + len(columns) * STEP - GAP, top + lengths.pop() * STEP - GAP + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    for column, (caption, images) in enumerate(columns.items()):
        x = MARGIN + column * STEP
        write(ImageDraw.Draw(sheet), (x, MARGIN), caption, 15, INK, TILE)
        for row, pixels in enumerate(images):
            paste_tile(sheet, pixels, (x, top + row * STEP))
    atomic_write(path, png(sheet))


def paste_tile(sheet: Image.Image, pixels: Pixels, at: tuple[int, int], size: int = TILE) -> None:
    """Paste an image uint8 [H, W, 3] into the middle of a square of `size` pixels with its upper left corner `at`."""
    image = fit(pixels, size)
    sheet.paste(WELL, (at[0], at[1], at[0] + size, at[1] + size))
    sheet.paste(image, (at[0] + (size - image.width) // 2, at[1] + (size - image.height) // 2))
