"""PNG sheets: sizes, the images themselves in their places, and marks in their colors."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarsecon.errors import InputError
from coarsecon.pictures.draw import MARKS
from coarsecon.pictures.grid import GAP, MARGIN, STEP, TILE, write_image_grid
from coarsecon.pictures.rows import GalleryRow, Neighbor, Picture
from coarsecon.report.sheet import write_sheet


def plain(color: tuple[int, int, int], side: int = 32) -> np.ndarray:
    return np.full((side, side, 3), color, np.uint8)


def colors(path: Path) -> dict[tuple[int, ...], int]:
    pixels, counts = np.unique(np.asarray(Image.open(path)).reshape(-1, 3), axis=0, return_counts=True)
    return {tuple(map(int, pixel)): int(count) for pixel, count in zip(pixels, counts, strict=True)}


def test_a_sheet_has_a_row_per_query_and_a_place_per_neighbor(tmp_path: Path) -> None:
    query = Picture(plain((10, 20, 200)), "q.jpg", "pear", "anjou")
    others = [
        Neighbor(Picture(plain((200, 20, 10)), "n.jpg", *labels), 0.5)
        for labels in [("pear", "anjou"), ("pear", "conference"), ("milk", "oat"), ("pear", "anjou")]
    ]
    write_sheet(tmp_path / "s.png", [GalleryRow(query, others), GalleryRow(query, others[:1])], title="Pears")
    found = colors(tmp_path / "s.png")
    whole = TILE * TILE
    assert found[(10, 20, 200)] == 2 * whole
    assert 0.85 * 5 * whole < found[(200, 20, 10)] < 5 * whole  # five neighbors, their frames aside
    frames = [found[MARKS[kind]] for kind in ("right", "near", "wrong")]
    assert frames[0] > 2.5 * frames[1] > 0
    assert frames[2] > 0
    width, height = Image.open(tmp_path / "s.png").size
    write_sheet(tmp_path / "s.png", [GalleryRow(query, others)], title="Pears")
    assert Image.open(tmp_path / "s.png").size < (width, height)


def test_a_grid_puts_image_i_of_each_view_into_row_i(tmp_path: Path) -> None:
    views = {
        "query": [plain((255, 0, 0)), plain((0, 255, 0))],
        "key": [plain((0, 0, 255)), plain((90, 90, 0), side=200)],
    }
    write_image_grid(tmp_path / "v.png", views)
    sheet = Image.open(tmp_path / "v.png")
    assert sheet.width == 2 * MARGIN + 2 * STEP - GAP
    x, bottom = MARGIN + TILE // 2, sheet.height - MARGIN - TILE // 2
    centers = [(x, bottom - STEP), (x, bottom), (x + STEP, bottom - STEP), (x + STEP, bottom)]
    assert [sheet.getpixel(center) for center in centers] == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (90, 90, 0),
    ]


def test_small_images_grow_pixel_by_pixel(tmp_path: Path) -> None:
    checks = np.kron([[0, 1], [1, 0]], np.ones((16, 16)))[:, :, None].repeat(3, axis=2)
    write_image_grid(tmp_path / "v.png", {"": [(checks * 255).astype(np.uint8)]})
    tile = np.asarray(Image.open(tmp_path / "v.png"))[-MARGIN - TILE : -MARGIN, MARGIN : MARGIN + TILE]
    assert set(np.unique(tile)) == {0, 255}


def test_columns_of_different_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="columns: must be of one length"):
        write_image_grid(tmp_path / "v.png", {"a": [plain((0, 0, 0))], "b": []})
    assert list(tmp_path.iterdir()) == []


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    row = GalleryRow(Picture(plain((1, 2, 3)), "q"), [Neighbor(Picture(plain((4, 5, 6)), "n"), 0.1)])
    for name in "ab":
        write_sheet(tmp_path / name, [row], title="t")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
