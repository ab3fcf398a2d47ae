"""Files become squares or small JPEGs, and their pixels are counted exactly."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarsecon.data.convert import histogram, jpegs, mean_and_std, squares
from coarsecon.data.images import decode


def test_squares_are_pillows_antialiased_bilinear(save_image: Callable[..., Path], tmp_path: Path) -> None:
    files = [save_image(tmp_path / f"{i}.png", (100 + i, 60), i) for i in range(3)]
    expected = [np.asarray(Image.open(file).resize((16, 16), Image.Resampling.BILINEAR)) for file in files]
    found = list(squares(files, 16, workers=2))
    assert found[0].shape == (3, 16, 16)
    np.testing.assert_array_equal(found, np.stack(expected).transpose(0, 3, 1, 2))


@pytest.mark.parametrize(("size", "expected"), [((300, 200), (192, 128)), ((200, 300), (128, 192))])
def test_large_images_shrink_to_8_7_of_the_size(
    save_image: Callable[..., Path], tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    file = save_image(tmp_path / "image.jpg", size)
    (jpeg,) = jpegs([file], 112, workers=1)
    height, width, _ = decode(jpeg.content).shape
    assert (width, height) == expected
    shrunk = np.asarray(Image.open(file).resize(expected, Image.Resampling.BILINEAR))
    assert abs(decode(jpeg.content).astype(int) - shrunk).mean() < 2


def test_the_colours_of_copies_are_not_subsampled(save_image: Callable[..., Path], tmp_path: Path) -> None:
    (jpeg,) = jpegs([save_image(tmp_path / "image.png", (300, 300))], 112, workers=1)
    (tmp_path / "copy.jpg").write_bytes(jpeg.content)
    with Image.open(tmp_path / "copy.jpg") as copy:
        assert [component[1:3] for component in copy.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]


def test_small_upright_jpegs_are_taken_byte_for_byte(save_image: Callable[..., Path], tmp_path: Path) -> None:
    file = save_image(tmp_path / "image.jpg", (400, 128), quality=30)
    (jpeg,) = jpegs([file], 112, workers=1)
    assert jpeg.content == file.read_bytes()
    np.testing.assert_array_equal(jpeg.histogram, histogram(decode(file).transpose(2, 0, 1)[None]))


def test_other_small_images_become_rgb_jpegs_of_their_size(save_image: Callable[..., Path], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = save_image(tmp_path / "turned.jpg", (40, 20), exif=exif)
    grey = tmp_path / "grey.jpg"
    Image.new("L", (40, 20), 100).save(grey)
    png = save_image(tmp_path / "image.png", (40, 20))
    shapes = [(40, 20), (20, 40), (20, 40)]
    for file, jpeg, shape in zip([turned, grey, png], jpegs([turned, grey, png], 112, 2), shapes, strict=True):
        assert jpeg.content != file.read_bytes()
        assert jpeg.content.startswith(b"\xff\xd8")
        assert decode(jpeg.content).shape == (*shape, 3)


def test_mean_and_std_are_those_of_all_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 3, 5, 7), dtype=np.uint8)
    pixels[:, 1] //= 2
    mean, std = mean_and_std(histogram(pixels))
    np.testing.assert_allclose(mean, (pixels / 255).mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, (pixels / 255).std(axis=(0, 2, 3)), rtol=1e-12)


def test_a_single_colour_has_no_deviation() -> None:
    assert mean_and_std(histogram(np.full((2, 3, 4, 4), 51, np.uint8))) == ((0.2, 0.2, 0.2), (0.0, 0.0, 0.0))
