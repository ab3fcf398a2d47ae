"""Image formats that are read, and recognition of images by their content."""

import warnings
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from coarsecon.errors import InputError
from coarsecon.runtime.extras import require_extra

SUFFIXES_OF = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "ICO": (".ico",),
    "PCX": (".pcx",),
    "QOI": (".qoi",),
    "SGI": (".sgi",),
}
"""Formats that are read, by their names in Pillow, which opens some others by running programs."""

BY_SUFFIX = {"TGA": (".tga", ".icb", ".vda", ".vst"), "DIB": (".dib",)}
"""Formats without a signature, recognized only by these suffixes."""

HEIF_SUFFIXES = (".heic", ".heif", ".hif")
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}

SUFFIXES = tuple(suffix for known in (SUFFIXES_OF, BY_SUFFIX) for kinds in known.values() for suffix in kinds)
SUFFIXES += HEIF_SUFFIXES
"""Suffixes of images: a file with one of them that is not readable counts as a broken image."""

CAMERA_RAW = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw"),
    *(".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f"),
)
"""Most begin like TIFF and contain a small preview that would be mistaken for the image."""

EDITED_OR_DRAWN = (".ai", ".dds", ".djvu", ".eps", ".icns", ".pdf", ".psb", ".psd", ".svg", ".xcf")
"""Formats of editors, vector graphics and documents that users may mistake for images."""

NOT_IMAGES = (*CAMERA_RAW, *EDITED_OR_DRAWN, ".thm", ".part", ".partial", ".crdownload", ".download")
"""Suffixes of files that are left out even where they begin like an image: previews and incomplete downloads."""


def is_image(file: Path) -> bool:
    """Return whether a file is read as an image: by its suffix, else by its content.

    Images are not decoded, and files with the suffix of an image are not opened.
    """
    suffix = file.suffix.lower()
    if suffix in SUFFIXES or suffix in NOT_IMAGES:
        return suffix in SUFFIXES
    try:
        with warnings.catch_warnings(action="ignore"), open_image(file):
            return True
    except (Image.DecompressionBombError, InputError):
        return True
    except Exception:  # decoders raise various errors on other files
        return False


def open_image(file: Path | BytesIO, name: object = "the image") -> Image.Image:
    """Open the image in a file of a known format, called `name` in errors, and read its header.

    Raises:
        InputError: It is a HEIC image, and the package that reads them is missing.
        Exception: Any error of Pillow if it is not an image.
    """
    suffix = file.suffix.lower() if isinstance(file, Path) else ""
    if suffix in CAMERA_RAW:
        raise ValueError("a camera raw file; convert it to JPEG or TIFF")
    unsigned = [name for name, suffixes in BY_SUFFIX.items() if suffix in suffixes]
    try:
        return Image.open(file, formats=[*SUFFIXES_OF, *unsigned])
    except UnidentifiedImageError:
        if not _is_heif(file):
            raise
    require_extra("heif", "pillow_heif", needed_by=name).register_heif_opener()
    return Image.open(file, formats=["HEIF"])


def _is_heif(file: Path | BytesIO) -> bool:
    """Return whether the brands in the first box of a file are those of HEIC."""
    if isinstance(file, BytesIO):
        return _has_heif_brand(file)
    with file.open("rb") as opened:
        return _has_heif_brand(opened)


def _has_heif_brand(file: BinaryIO) -> bool:
    file.seek(0)
    box = file.read(64)
    if box[4:8] != b"ftyp":
        return False
    box = box[: int.from_bytes(box[:4])]
    return not HEIF_BRANDS.isdisjoint(box[start : start + 4] for start in range(8, len(box), 4))
