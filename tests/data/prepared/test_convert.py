"""Files become squares or small JPEGs, and their pixels are counted exactly."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from coarsecon.data.formats.images import decode
from coarsecon.data.prepared.convert import (
    Broken,
    Conversion,
    Converted,
    CopyKind,
    as_prepared,
    histogram,
    mean_and_std,
)


def copy_of(file: Path | bytes, kind: CopyKind = "jpeg", side: int = 128) -> Converted:
    """The copy of an image that can be read."""
    found = Conversion(kind, side)(file)
    assert isinstance(found, Converted), found
    return found


def test_squares_are_pillows_antialiased_bilinear(save_image: Callable[..., Path], tmp_path: Path) -> None:
    files = [save_image(tmp_path / f"{i}.png", (100 + i, 60), i) for i in range(3)]
    expected = [np.asarray(Image.open(file).resize((16, 16), Image.Resampling.BILINEAR)) for file in files]
    for image, square in zip(expected, Conversion("square", 16).all(files), strict=True):
        assert isinstance(square, Converted)
        pixels = np.frombuffer(square.content, np.uint8).reshape(3, 16, 16)
        np.testing.assert_array_equal(pixels, image.transpose(2, 0, 1))
        np.testing.assert_array_equal(square.histogram, histogram(pixels[None]))


@pytest.mark.parametrize(("size", "expected"), [((300, 200), (192, 128)), ((200, 300), (128, 192))])
def test_large_images_shrink_to_the_wanted_shorter_side(
    save_image: Callable[..., Path], tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    file = save_image(tmp_path / "image.jpg", size)
    jpeg = copy_of(file)
    height, width, _ = decode(jpeg.content).shape
    assert (width, height) == expected
    shrunk = np.asarray(Image.open(file).resize(expected, Image.Resampling.BILINEAR))
    assert abs(decode(jpeg.content).astype(int) - shrunk).mean() < 2


def test_the_colors_of_copies_are_not_subsampled(save_image: Callable[..., Path], tmp_path: Path) -> None:
    jpeg = copy_of(save_image(tmp_path / "image.png", (300, 300)))
    (tmp_path / "copy.jpg").write_bytes(jpeg.content)
    with Image.open(tmp_path / "copy.jpg") as copy:
        assert [component[1:3] for component in copy.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]


def test_small_upright_jpegs_are_taken_byte_for_byte(save_image: Callable[..., Path], tmp_path: Path) -> None:
    file = save_image(tmp_path / "image.jpg", (400, 128), quality=30)
    jpeg = copy_of(file)
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
    for file, shape in zip([turned, grey, png], shapes, strict=True):
        jpeg = copy_of(file)
        assert jpeg.content != file.read_bytes()
        assert jpeg.content.startswith(b"\xff\xd8")
        assert decode(jpeg.content).shape == (*shape, 3)


def test_mean_and_std_are_those_of_all_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 3, 5, 7), dtype=np.uint8)
    pixels[:, 1] //= 2
    mean, std = mean_and_std(histogram(pixels))
    np.testing.assert_allclose(mean, (pixels / 255).mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, (pixels / 255).std(axis=(0, 2, 3)), rtol=1e-12)


def test_a_single_color_has_no_deviation() -> None:
    assert mean_and_std(histogram(np.full((2, 3, 4, 4), 51, np.uint8))) == ((0.2, 0.2, 0.2), (0.0, 0.0, 0.0))


def test_png_copies_lose_nothing_more(save_image: Callable[..., Path], tmp_path: Path) -> None:
    large, small = save_image(tmp_path / "image.png", (300, 200)), save_image(tmp_path / "small.jpg", (40, 20))
    shrunk = np.asarray(Image.open(large).resize((192, 128), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(decode(copy_of(large, "png").content), shrunk)
    copy = copy_of(small, "png")
    assert copy.content.startswith(b"\x89PNG")
    np.testing.assert_array_equal(decode(copy.content), decode(small))
    kept = save_image(tmp_path / "kept.png", (40, 20))
    assert copy_of(kept, "png").content == kept.read_bytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_images_shrink_as_they_are_seen(
    save_image: Callable[..., Path], tmp_path: Path, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = save_image(tmp_path / "image.jpg", (300, 210), quality=95, exif=exif)
    upright = Image.fromarray(decode(file))
    expected = upright.resize((183, 128) if orientation < 5 else (128, 183), Image.Resampling.BILINEAR)
    found = decode(copy_of(file).content)
    assert found.shape == np.asarray(expected).shape
    assert abs(found.astype(int) - np.asarray(expected)).mean() < 2


def test_a_large_jpeg_decoded_small_is_close_to_the_plain_resize(tmp_path: Path) -> None:
    """A photo-like picture: edges, gradients and noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:900, :1200]
    scene = np.stack([x / 5, y / 4, 128 + 90 * np.sin(x / 17) * np.cos(y / 23)], -1)
    scene[200:500, 300:800] = 255 - scene[200:500, 300:800]
    Image.fromarray((scene + rng.normal(0, 8, scene.shape)).clip(0, 255).astype(np.uint8)).save(
        tmp_path / "photo.jpg", quality=92
    )
    large = as_prepared(tmp_path / "photo.jpg", 112).astype(int)
    assert large.shape[:2] == (128, 171)
    plain = np.asarray(Image.open(tmp_path / "photo.jpg").resize((171, 128), Image.Resampling.BILINEAR)).astype(int)
    assert abs(large - plain).mean() < 1


@pytest.mark.parametrize("kind", ["square", "jpeg", "png"])
def test_what_is_wrong_with_an_image_is_told(kind: Literal["square", "jpeg", "png"], tmp_path: Path) -> None:
    found = Conversion(kind, 16).all([tmp_path / "missing.jpg", b"no image"])
    reasons = [image.reason for image in found if isinstance(image, Broken)]
    assert reasons[0] == "no such file"
    assert reasons[1].startswith("not a readable image")


@pytest.mark.parametrize(
    ("size", "expected"), [((4000, 40), (2048, 40)), ((300, 6000), (128, 2048)), ((1, 400), (1, 400))]
)
def test_longer_side_of_copies_is_bounded(
    save_image: Callable[..., Path], tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    file = save_image(tmp_path / "panorama.jpg", size)
    height, width, _ = decode(copy_of(file, side=128).content).shape
    assert (width, height) == expected
    assert as_prepared(file, 112).shape == (height, width, 3)
