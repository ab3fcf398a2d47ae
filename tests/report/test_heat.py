"""Heat maps as pictures: colors that rise evenly, hot where the heat is, and every picture with its own."""

import numpy as np
import pytest
from PIL import Image

from coarsecon.pictures.rows import GalleryRow, Neighbor, Picture
from coarsecon.report.heat import heat_colors, heat_picture, overlay, with_heat
from coarsecon.report.sheet import write_heat_sheet, write_sheet


def lightness(color: tuple[int, int, int]) -> float:
    """OKLAB's L of an 8-bit sRGB color."""
    value = np.array(color) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    to_cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    return float(np.dot([0.2104542553, 0.7936177850, -0.0040720468], np.cbrt(to_cones @ linear)))


def test_lightness_rises_evenly_with_heat():
    found = [lightness(color) for color in heat_colors()]
    np.testing.assert_allclose(found, np.linspace(found[0], found[-1], 256), atol=0.08)
    assert min(np.diff(found)) > -1e-3
    assert found[0] < 0.2
    assert found[-1] > 0.9


def test_the_picture_is_hot_in_the_corner_that_is():
    heat = np.zeros((4, 4))
    heat[0, 3] = 7
    picture = np.asarray(heat_picture(heat, (80, 40)))
    assert picture.shape == (40, 80, 3)
    assert tuple(picture[0, -1]) == tuple(heat_colors()[-1])
    assert tuple(picture[-1, 0]) == tuple(heat_colors()[0])
    gray = np.full((40, 80, 3), 100, np.uint8)
    covered = overlay(gray, heat, 80)
    assert covered[0, -1].sum() > 300 > covered[-1, 0].sum()


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_an_even_map_is_cold_throughout(value):
    heat = value * (np.ones((3, 3)) + np.eye(3) * 1e-7)
    assert (np.asarray(heat_picture(heat, (9, 9))) == heat_colors()[0]).all()


def picture(name: str, value: int) -> Picture:
    return Picture(np.full((32, 32, 3), value, np.uint8), name)


def test_every_picture_of_the_rows_gets_its_own_map(tmp_path):
    rows = [
        GalleryRow(picture("a", 1), [Neighbor(picture("b", 2), 0.5), Neighbor(picture("c", 3), 0.4)]),
        GalleryRow(picture("d", 4), []),
    ]

    def look(images):
        return [np.array([[0.0, 1.0]]) if image[0, 0, 0] % 2 else np.array([[1.0, 0.0]]) for image in images]

    hot = with_heat(rows, look)
    shown = [hot[0].query, *(found.picture for found in hot[0].neighbors), hot[1].query]
    assert [p.name for p in shown] == ["a", "b", "c", "d"]
    assert [bool(p.heat[0, 0].sum() > p.heat[0, -1].sum()) for p in shown] == [False, True, False, True]
    assert rows[0].query.heat is None
    write_sheet(tmp_path / "cold.png", rows)
    write_sheet(tmp_path / "hot.png", hot)
    assert Image.open(tmp_path / "hot.png").height > Image.open(tmp_path / "cold.png").height + 200


def test_a_sheet_takes_any_number_of_images(tmp_path):
    for count in (1, 7, 20):
        pictures = [picture(f"{i}.jpg", i) for i in range(count)]
        write_heat_sheet(tmp_path / "s.png", pictures, [np.eye(3)] * count, title="t" * 200)
        assert Image.open(tmp_path / "s.png").width >= 3 * 128


def test_the_norms_are_told_whole_beside_a_long_name(tmp_path):
    picture = Picture(np.zeros((8, 8, 3), np.uint8), "n" * 200, "a coarse class")
    for name, heat in (("a", 1 + np.eye(3)), ("b", 1 + 2 * np.eye(3))):  # drawn alike: the captions differ alone
        write_heat_sheet(tmp_path / name, [picture], [heat], title="t")
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_a_long_name_is_told_by_its_end_and_the_title_whole(tmp_path):
    pictures = [Picture(np.zeros((8, 8, 3), np.uint8), f"{'folder ' * 20}/{name}.jpg", "coarse") for name in "ab"]
    for name, picture in zip("ab", pictures, strict=True):  # drawn alike: the last part of the name differs alone
        write_heat_sheet(tmp_path / name, [picture], [np.eye(3)], title="t")
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()
    write_heat_sheet(
        tmp_path / "long", pictures[:1], [np.eye(3)], title="Where the embedding looks (projector), runs/photos"
    )
    assert Image.open(tmp_path / "long").width > Image.open(tmp_path / "a").width
