"""Images that are fitted into a report keep at least one pixel in each direction, however thin they are."""

import io

import numpy as np
import pytest
from PIL import Image

from coarsecon.pictures.images import fit, thumbnail
from coarsecon.pictures.rows import Picture
from coarsecon.report.heat import overlay
from coarsecon.report.sheet import write_heat_sheet

THIN = [(1, 400), (400, 1), (2000, 3), (6, 2500), (1, 1)]
"""(width, height)"""


def picture(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)


@pytest.mark.parametrize("size", THIN)
@pytest.mark.parametrize("side", [16, 112, 192])
def test_thin_images_are_fitted(size: tuple[int, int], side: int) -> None:
    fitted = fit(picture(size), side)
    assert max(fitted.size) == side
    assert min(fitted.size) == (side if size == (1, 1) else max(1, round(side * min(size) / max(size))))


@pytest.mark.parametrize("size", THIN)
def test_thin_images_have_thumbnails(size: tuple[int, int]) -> None:
    _, content = thumbnail(picture(size), 112)
    with Image.open(io.BytesIO(content)) as image:
        assert max(image.size) == min(112, *[max(size)])


@pytest.mark.parametrize("size", THIN)
def test_thin_images_carry_heat_maps(tmp_path, size: tuple[int, int]) -> None:
    heat = np.arange(4.0).reshape(2, 2)
    pixels = picture(size)
    assert overlay(pixels, heat).shape[:2] == fit(pixels, 192).size[::-1]
    write_heat_sheet(tmp_path / "heat.png", [Picture(pixels, "thin")], [heat], title="Heat")
    with Image.open(tmp_path / "heat.png") as sheet:
        sheet.verify()
