"""Convert image files to their stored form: small squares in one array, or resized JPEG or PNG copies."""

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from coarsecon.data.formats.images import ImageFile, is_upright, opened, read_bytes, upright_rgb
from coarsecon.data.prepared.schema import Channels
from coarsecon.errors import InputError
from coarsecon.runtime.limits import workers_problem
from coarsecon.runtime.pool import processes

ARRAY_MAX_SIZE = 64
"""Images up to this size in pixels are stored as one array of squares, larger ones as files."""

CopyKind = Literal["jpeg", "png"]
SUFFIX = {"jpeg": ".jpg", "png": ".png"}

MAX_ASPECT_RATIO = 16
"""Bound on longer over shorter side of a copy: batches are padded to their longest image."""


class Converted(NamedTuple):
    """A converted image: its pixels or the bytes of its copy, and the `histogram` [3, 256] of its pixels."""

    content: bytes
    histogram: np.ndarray


class Broken(NamedTuple):
    """The reason why an image cannot be read, without its name."""

    reason: str


@dataclass(frozen=True)
class Conversion:
    """Conversion of an image file to a `square` of `side` px, or to a copy whose shorter side is at most `side` px.

    Squares are uint8 [3, side, side], whatever the aspect ratio of the image. Upright RGB images of the requested
    format that are small enough are copied byte for byte; others become PNG, or JPEG of quality 95, 4:4:4. Images are
    resized by the antialiased bilinear filter of Pillow. A JPEG at least four times too large is first decoded at 1/2,
    1/4 or 1/8 of its size, which leaves the filter twice the pixels it needs: several times faster, with a mean
    difference below one gray level.
    """

    kind: Literal["square"] | CopyKind
    side: int

    def __call__(self, file: ImageFile) -> Converted | Broken:
        """Convert the image of a file, or return the reason why it cannot be read."""
        try:
            return self._square(file) if self.kind == "square" else self._copy(file, self.kind)
        except InputError as error:
            return Broken("; ".join(filter(None, [error.problem, error.hint])))

    def all(self, files: Sequence[ImageFile]) -> list[Converted | Broken]:
        """Convert the images of several files."""
        return [self(file) for file in files]

    def _square(self, file: ImageFile) -> Converted:
        with opened(file) as image:
            pixels = _squared(image, self.side)
        return Converted(np.asarray(pixels).transpose(2, 0, 1).tobytes(), _histogram(pixels))

    def _copy(self, file: ImageFile, kind: CopyKind) -> Converted:
        with opened(file) as image:
            is_small = min(image.size) <= self.side and max(image.size) <= MAX_ASPECT_RATIO * self.side
            is_plain = image.mode == "RGB" and not image.has_transparency_data and is_upright(image)
            is_kept = is_small and is_plain and image.format == kind.upper()
            pixels = _shrunk(image, self.side)
            content = read_bytes(file) if is_kept else _encode(pixels, kind)
        return Converted(content, _histogram(pixels))


def pool_for(workers: int) -> Executor:
    """Return the executor of conversions: this process if one worker is requested or possible, else processes.

    Threads would share Python's lock, which is held while a JPEG is encoded.
    """
    return processes(workers) if workers > 1 and not workers_problem(workers) else ThreadPoolExecutor(1)


def as_prepared(file: ImageFile, size: int) -> np.ndarray:
    """Return the image of a file as it would be prepared for the image size `size`, uint8 [H, W, 3]; for queries."""
    with opened(file) as image:
        return prepared(image, size)


def prepared(image: Image.Image, size: int) -> np.ndarray:
    """Return an image as it would be prepared for the image size `size`, uint8 [H, W, 3]."""
    return np.asarray(_squared(image, size) if size <= ARRAY_MAX_SIZE else _shrunk(image, shorter_side(size)))


def shorter_side(size: int) -> int:
    """Return the shorter side of copies for an image size: that of the usual resize before a center crop."""
    return round(size * 8 / 7)


def histogram(pixels: np.ndarray) -> np.ndarray:
    """Count the values of each channel of uint8 [N, 3, H, W], as int64 [3, 256]."""
    return np.stack([np.bincount(pixels[:, channel].ravel(), minlength=256) for channel in range(3)])


def mean_and_std(counts: np.ndarray) -> tuple[Channels, Channels]:
    """Return the mean and standard deviation of each channel, on a scale of 0 to 1, from a `histogram`."""
    values = np.arange(256) / 255
    fractions = counts / counts.sum(axis=1, keepdims=True)
    mean = fractions @ values
    std = np.sqrt((fractions @ values**2 - mean**2).clip(0))
    return (mean[0].item(), mean[1].item(), mean[2].item()), (std[0].item(), std[1].item(), std[2].item())


def _histogram(image: Image.Image) -> np.ndarray:
    return np.array(image.histogram()).reshape(3, 256)


def _squared(image: Image.Image, size: int) -> Image.Image:
    image.draft(None, (2 * size, 2 * size))
    return upright_rgb(image).resize((size, size), Image.Resampling.BILINEAR)


def _shrunk(image: Image.Image, shorter_side: int) -> Image.Image:
    """Return the upright image, resized to `shorter_side` if its shorter side is longer.

    The longer side of a very thin image is squeezed to `MAX_ASPECT_RATIO` times that.
    """
    shorter, longest = min(image.size), MAX_ASPECT_RATIO * shorter_side
    if shorter <= shorter_side and max(image.size) <= longest:
        return upright_rgb(image)
    scale = min(1, shorter_side / shorter)
    width, height = (min(round(side * scale), longest) for side in image.size)
    image.draft(None, (2 * width, 2 * height))
    upright = upright_rgb(image)
    if (upright.width < upright.height) != (width < height):  # turned by its EXIF
        width, height = height, width
    return upright.resize((width, height), Image.Resampling.BILINEAR)


def _encode(image: Image.Image, kind: CopyKind) -> bytes:
    out = BytesIO()
    image.save(out, kind, quality=95, subsampling=0)
    return out.getvalue()
