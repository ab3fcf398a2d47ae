"""Hash the pixels of images, to find images shared by two datasets regardless of file names and labels."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from coarsecon.data.formats.images import ImageFile, opened, upright_rgb
from coarsecon.data.prepared.store import Split
from coarsecon.errors import InputError
from coarsecon.runtime.pool import map_ahead
from coarsecon.runtime.progress import Progress, Reporter

Hashes = NDArray[np.uint64]
"""One per image; 0 for an image that cannot be read."""

FILES_PER_TASK = 64
MIN_DECODED_SIDE = 64
"""Minimum shorter side in pixels to which a JPEG is decoded, up to eight times faster than in full size."""


def image_hashes(split: Split, *, workers: int = 2, reporter: Reporter | None = None) -> Hashes:
    """Hash the pixels of every image [N] of a split; the same pixels give the same hash in every dataset."""
    with (reporter or Reporter()).progress(f"hashing {split.name}", len(split)) as progress:
        if split.files is not None:
            return file_hashes(split.files, workers=workers, progress=progress)
        assert split.images is not None
        found: list[int] = []
        for pixels in split.images.numpy():
            split.check_file()
            found.append(pixel_hash(pixels.transpose(1, 2, 0)))
            progress.advance()
    return np.array(found, np.uint64)


def file_hashes(files: Sequence[ImageFile], *, workers: int = 2, progress: Progress = Progress()) -> Hashes:
    """Hash the pixels of image files [N]; names and metadata other than the orientation do not matter."""
    pieces = (
        [files[i] for i in range(start, min(start + FILES_PER_TASK, len(files)))]
        for start in range(0, len(files), FILES_PER_TASK)
    )
    threads = max(1, workers)
    found: list[int] = []
    for hashes in map_ahead(_hash_all, pieces, pool=ThreadPoolExecutor(threads), ahead=2 * threads):
        found += hashes
        progress.advance(len(hashes))
    return np.array(found, np.uint64)


def _hash_all(files: Sequence[ImageFile]) -> list[int]:
    return [_file_hash(file) for file in files]


def _file_hash(file: ImageFile) -> int:
    try:
        with opened(file) as image:
            size = image.size
            image.draft("RGB", (MIN_DECODED_SIDE, MIN_DECODED_SIDE))
            return pixel_hash(np.asarray(upright_rgb(image)), size)
    except InputError:
        return 0


def pixel_hash(pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> int:
    """Return the hash of an image uint8 [H, W, 3] of the original `size` (width, height)."""
    digest = blake2b(repr(size or pixels.shape[1::-1]).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(pixels).data)
    return int.from_bytes(digest.digest(), "little")
