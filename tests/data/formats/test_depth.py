"""Gray images of more than 8 bits, and of floats, keep their brightness when they become 8 bits."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from coarsecon.data.formats.depth import scale_to_8_bits
from coarsecon.data.formats.images import decode
from coarsecon.errors import InputError

GRAY = np.array([[0, 81, 155, 255]])


def tiff(values: np.ndarray, **tags: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(values).save(out, "TIFF", **tags)
    return out.getvalue()


def unsigned_tiff(values: np.ndarray) -> bytes:
    """A TIFF of one row of unsigned 32-bit integers, which Pillow cannot write."""
    content = values.astype("<u4").tobytes()
    tags = {256: values.size, 257: 1, 258: 32, 259: 1, 262: 1, 273: 122, 277: 1, 278: 1, 279: len(content)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + content


def color_png(values: np.ndarray) -> bytes:
    """A PNG of 16-bit color [H, W, 3], which Pillow cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_values_are_scaled_by_the_bits_they_use(bits: int, dtype: type) -> None:
    values = (GRAY * (2**bits - 1) / 255).round().astype(dtype)
    np.testing.assert_array_equal(decode(tiff(values)), GRAY[..., None].repeat(3, -1))


@pytest.mark.parametrize(
    "values", [GRAY / 255, GRAY / 255 * 2 - 1, GRAY / 255 * 1.02, GRAY * 1e6, GRAY * 1e-9, GRAY / 1e4 - 3]
)
def test_floats_of_any_range_keep_their_brightness(values: np.ndarray) -> None:
    decoded = decode(tiff(values.astype(np.float32)))[..., 0]
    np.testing.assert_allclose(decoded, GRAY, atol=6 if values.max() > 1e-6 else 0)


@pytest.mark.parametrize("content", [tiff((GRAY - 1000).astype(np.int32)), unsigned_tiff(GRAY * 2**24)])
def test_negative_and_32_bit_integers_are_stretched(content: bytes) -> None:
    np.testing.assert_array_equal(decode(content)[0, :, 0], GRAY[0])


def test_pixels_that_are_not_finite_become_black() -> None:
    values = np.array([[np.nan, 1, 0.5, np.inf]], np.float32)
    np.testing.assert_array_equal(decode(tiff(values))[0, :, 0], [0, 255, 128, 0])


def test_image_without_finite_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="no pixel has a finite value"):
        decode(tiff(np.full((2, 2), np.nan, np.float32)))


@pytest.mark.parametrize("values", [np.zeros((1, 2), np.uint16), np.full((1, 2), -7, np.int32)])
def test_empty_range_is_black(values: np.ndarray) -> None:
    assert not decode(tiff(values)).any()


def test_declared_range_of_pgm_is_kept() -> None:
    content = b"P5 3 1 4095\n" + np.array([0, 40, 100], ">u2").tobytes()
    np.testing.assert_array_equal(decode(content)[0, :, 0], [0, 2, 6])


def test_deep_gray_is_turned_upright() -> None:
    mirrored = tiff(GRAY.astype(np.uint16) * 257, tiffinfo={0x0112: 2})
    np.testing.assert_array_equal(decode(mirrored)[0, :, 0], GRAY[0, ::-1])


def test_16_bit_color_is_scaled() -> None:
    pixels = np.dstack([GRAY, GRAY[:, ::-1], GRAY])
    np.testing.assert_array_equal(decode(color_png(pixels * 257)), pixels)


def test_16_bit_color_that_would_be_black_is_refused() -> None:
    with pytest.raises(InputError, match="16-bit color with values of 12 bits or fewer"):
        decode(color_png(np.dstack([GRAY, GRAY, GRAY]) * 16))


def test_scaling_rounds_half_up_as_integer_arithmetic_does() -> None:
    values = np.arange(65536, dtype=np.uint16)[None]
    expected = (values.astype(np.int64) * 255 + 32767) // 65535
    np.testing.assert_array_equal(scale_to_8_bits(values), expected)
