"""Decode image files to upright 8-bit RGB."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from coarsecon.data.formats.depth import gray_to_8_bits, is_deep_gray, refuse_dark_16_bit_color
from coarsecon.data.formats.image_formats import open_image
from coarsecon.errors import InputError

MAX_PIXELS = 80_000_000

# Editors store megabytes of history and color profiles in PNG files. Pillow refuses them by default.
PngImagePlugin.MAX_TEXT_CHUNK = 2**26
PngImagePlugin.MAX_TEXT_MEMORY = 2**27


@dataclass(frozen=True)
class Stored:
    """An image inside a larger file, such as an uncompressed tar: `length` bytes from `offset` on."""

    archive: Path
    offset: int
    length: int
    name: str

    def __str__(self) -> str:
        return f"{self.archive}: {self.name}"

    def read(self) -> bytes:
        """Return the encoded image; fewer bytes if the archive ends too early."""
        with self.archive.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


ImageFile = Path | Stored | bytes
"""Place of an encoded image: a file, inside a larger file, or in memory."""


def read_bytes(source: ImageFile) -> bytes:
    """Return the encoded image."""
    if isinstance(source, bytes):
        return source
    return source.read() if isinstance(source, Stored) else source.read_bytes()


def decode(source: ImageFile, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image to uint8 [H, W, 3]: upright by its EXIF orientation, transparent parts white.

    Raises:
        InputError: It is not an image, broken, or has more than `max_pixels` pixels.
    """
    with opened(source, max_pixels=max_pixels) as image:
        return np.asarray(upright_rgb(image))


@contextmanager
def opened(source: ImageFile, *, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open an image and read its header; any error in the `with` block becomes an InputError."""
    name, hint = ("the image", "") if isinstance(source, bytes) else (source, "replace or remove it")
    try:
        file = source if isinstance(source, Path) else BytesIO(read_bytes(source))
        with open_image(file, name) as image:
            if image.width * image.height > max_pixels:
                raise InputError(name, f"{image.width} x {image.height} px is more than is read", "resize it")
            yield image
    except FileNotFoundError:
        is_link = isinstance(source, Path) and source.is_symlink()
        raise InputError(name, "a link to a file that does not exist" if is_link else "no such file") from None
    except InputError:
        raise
    except Exception as error:  # decoders raise various errors on broken files
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        raise InputError(name, f"not a readable image ({reason})", hint) from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to upright RGB: rotated by its EXIF, transparency over white, deep gray scaled to 8 bits.

    Raises:
        ValueError: Its pixels cannot be scaled to 8 bits; see `coarsecon.data.formats.depth`.
    """
    raw_modes = str([tile[3] for tile in getattr(image, "tile", [])])
    upright = ImageOps.exif_transpose(image)
    if is_deep_gray(upright):
        return gray_to_8_bits(upright, image).convert("RGB")
    refuse_dark_16_bit_color(upright, raw_modes)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        return Image.alpha_composite(white, upright).convert("RGB")
    return upright.convert("RGB")


def is_upright(image: Image.Image) -> bool:
    """Return whether the image is stored upright."""
    return image.getexif().get(ExifTags.Base.Orientation, 1) == 1
