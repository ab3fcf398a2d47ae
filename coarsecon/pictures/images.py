"""Image sizes and encodings for reports: shrunk smoothly, or enlarged so that every pixel stays visible."""

import base64
from io import BytesIO

from PIL import Image

from coarsecon.pictures.origin import Origin, png_origin
from coarsecon.pictures.rows import Pixels

SMALL = 64
"""Longest side, in pixels, of images that are shown pixel by pixel."""


def fit(pixels: Pixels, side: int) -> Image.Image:
    """Resize uint8 [H, W, 3] so that its longer side is `side`; small images are enlarged by an integer factor only.

    The shorter side of a very thin image is at least one pixel.
    """
    image = Image.fromarray(pixels)
    longest = max(image.size)
    if longest > min(SMALL, side):
        width, height = (max(1, round(length / longest * side)) for length in image.size)
        return image.resize((width, height), Image.Resampling.LANCZOS)
    factor = max(1, side // longest)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def png(image: Image.Image, origin: Origin | None = None) -> bytes:
    """Encode an image as PNG, which stores its `origin`."""
    stream = BytesIO()
    # `optimize` takes nine times as long to save two parts in a hundred
    image.save(stream, "PNG", pnginfo=png_origin(origin))
    return stream.getvalue()


def jpeg(image: Image.Image) -> bytes:
    """Encode an image as JPEG."""
    stream = BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def data_uri(kind: str, data: bytes) -> str:
    """Return the bytes of an image file of `kind` (png, jpeg) as a `data:` address."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def thumbnail(pixels: Pixels, side: int) -> tuple[str, bytes]:
    """Encode uint8 [H, W, 3] as (kind, bytes): a small image unchanged as "png", others as "jpeg" up to `side`."""
    longest = max(pixels.shape[:2])
    if longest <= SMALL:
        return "png", png(Image.fromarray(pixels))
    return "jpeg", jpeg(fit(pixels, min(side, longest)))


def thumbnail_uri(pixels: Pixels, side: int) -> str:
    """Return uint8 [H, W, 3] as a `data:` address; see `thumbnail`."""
    return data_uri(*thumbnail(pixels, side))
