"""Exact duplicates within a split, found without decoding image files."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from os import SEEK_END
from pathlib import Path

from coarsecon.data.prepared.hashes import pixel_hash
from coarsecon.data.prepared.store import Split

TAIL_BYTES = 4096
"""Bytes at the end of a file that are compared; those of images with other pixels differ."""


def duplicates(split: Split) -> list[Hashable | None]:
    """Return a value [N] that images with the same content share, and None for images without a duplicate.

    Images in an array are compared by their pixels, files by their size and their last bytes.
    """
    if split.files is not None:
        files = split.files
        return _repeated([_size(file) for file in files], lambda index: _tail(files[index]))
    assert split.images is not None
    split.check_file()
    pixels = split.images.numpy()
    middle = pixels.shape[2] // 2
    rows = [row.tobytes() for row in pixels[:, :, middle]]
    return _repeated(rows, lambda index: pixel_hash(pixels[index].transpose(1, 2, 0)))


def _repeated(keys: Sequence[Hashable], content: Callable[[int], Hashable]) -> list[Hashable | None]:
    """Return the content of items whose key and content occur more than once; only these contents are computed."""
    counts = Counter(keys)
    found = [(key, content(index)) if counts[key] > 1 else None for index, key in enumerate(keys)]
    times = Counter(found)
    return [value if value is not None and times[value] > 1 else None for value in found]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _tail(file: Path) -> Hashable:
    """Return a hash of the end of a file; an image that cannot be read has no duplicate."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, SEEK_END)
            opened.seek(max(0, size - TAIL_BYTES))
            return blake2b(opened.read(), digest_size=8).hexdigest()
    except OSError:
        return file
