"""Whatever the kind of image file, decoding gives upright 8-bit RGB, or one error that names the file."""

import io
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from coarsecon.data.formats.images import decode
from coarsecon.errors import InputError

GRADIENT = np.arange(60, dtype=np.uint8).reshape(5, 12) * 4
RGB = np.stack([GRADIENT, GRADIENT[::-1], 255 - GRADIENT], axis=-1)


def png(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tiff", "webp"])
def test_lossless_rgb_is_exact(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(RGB).save(path, **({"lossless": True} if suffix == "webp" else {}))
    decoded = decode(path)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, RGB)


@pytest.mark.parametrize("suffix", ["jpg", "gif"])
def test_lossy_formats_are_close(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(RGB).resize((48, 20)).save(path)
    expected = np.asarray(Image.fromarray(RGB).resize((48, 20))).astype(int)
    assert abs(decode(path) - expected).mean() < 12


def test_bytes_decode_as_the_file_does(save_image: Callable[..., Path], tmp_path: Path) -> None:
    path = save_image(tmp_path / "image.jpg")
    np.testing.assert_array_equal(decode(path.read_bytes()), decode(path))


def test_grey_becomes_three_equal_channels() -> None:
    decoded = decode(png(Image.fromarray(GRADIENT)))
    np.testing.assert_array_equal(decoded, GRADIENT[..., None].repeat(3, axis=-1))


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    values = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    np.testing.assert_array_equal(decode(png(Image.fromarray(values)))[0, :, 0], [0, 1, 128, 255])


def test_a_palette_is_looked_up() -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), mode="P")
    image.putpalette([10, 20, 30, 200, 100, 0])
    np.testing.assert_array_equal(decode(png(image)), [[[10, 20, 30], [200, 100, 0]]])


def test_transparency_is_laid_over_white() -> None:
    pixels = np.array([[[100, 0, 0, 255], [100, 0, 0, 0], [0, 0, 0, 128]]], dtype=np.uint8)
    decoded = decode(png(Image.fromarray(pixels)))[0]
    np.testing.assert_array_equal(decoded[:2], [[100, 0, 0], [255, 255, 255]])
    assert abs(decoded[2].astype(int) - 127).max() <= 1


def test_a_transparent_palette_color_is_white_too() -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), mode="P")
    image.putpalette([10, 20, 30, 200, 100, 0])
    np.testing.assert_array_equal(decode(png(image, transparency=1))[0, 1], [255, 255, 255])


def test_cmyk_is_converted(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(path, quality=100)
    red, green, blue = decode(path)[4, 4]
    assert red > 230 > 30 > max(green, blue)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(orientation: int) -> None:
    transposes = [
        lambda a: a, np.fliplr, lambda a: a[::-1, ::-1], np.flipud,
        lambda a: a.swapaxes(0, 1), lambda a: np.rot90(a, 1), lambda a: a[::-1, ::-1].swapaxes(0, 1),
        lambda a: np.rot90(a, -1),
    ]  # fmt: skip
    stored = transposes[orientation - 1](RGB)
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(png(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)), RGB)


def test_pictures_of_several_frames_give_the_first(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (16, 8), "red"), Image.new("RGB", (16, 8), "blue")
    for name, options in (("image.gif", {}), ("image.mpo", {})):
        first.save(tmp_path / name, save_all=True, append_images=[second], **options)
    (tmp_path / "image.mpo").rename(tmp_path / "image.jpg")
    for name in ("image.gif", "image.jpg"):
        red, _, blue = decode(tmp_path / name)[0, 0]
        assert red > 200 > 50 > blue


def test_broken_files_are_named(save_image: Callable[..., Path], tmp_path: Path) -> None:
    path = save_image(tmp_path / "half.jpg", (64, 64))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=f"^{path}: not a readable image .*; replace or remove it$"):
        decode(path)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"text", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a readable image"):
        decode(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        decode(tmp_path / "image.png")


def test_images_beyond_the_pixel_limit_are_not_decoded() -> None:
    with pytest.raises(InputError, match="12 x 5 px"):
        decode(png(Image.fromarray(RGB)), max_pixels=59)


def test_a_decompression_bomb_is_refused() -> None:
    bomb = bytearray(png(Image.new("1", (1, 1))))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(InputError):
        decode(bytes(bomb))


def text_png(size: int, *, after_pixels: bool = False) -> bytes:
    """A PNG with a compressed text of `size` characters, before or after its pixels."""
    info = PngImagePlugin.PngInfo()
    info.add(b"zTXt", b"comment\0\0" + zlib.compress(b"x" * size), after_idat=after_pixels)
    return png(Image.fromarray(RGB), pnginfo=info)


@pytest.mark.parametrize("after_pixels", [False, True])
def test_png_with_megabytes_of_text_is_read(after_pixels: bool) -> None:
    np.testing.assert_array_equal(decode(text_png(20_000_000, after_pixels=after_pixels)), RGB)


def test_png_with_a_large_color_profile_is_read() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + bytes(5_000_000)
    np.testing.assert_array_equal(decode(png(Image.fromarray(RGB), icc_profile=profile)), RGB)


def test_png_text_beyond_memory_limit_is_refused() -> None:
    with pytest.raises(InputError, match="not a readable image"):
        decode(text_png(100_000_000))
