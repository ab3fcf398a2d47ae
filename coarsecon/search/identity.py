"""Match images by content instead of by name."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from coarsecon.data.formats.images import opened
from coarsecon.data.prepared.convert import ARRAY_MAX_SIZE, SUFFIX, Conversion, Converted, CopyKind, shorter_side
from coarsecon.data.prepared.store import PreparedDataset, Split
from coarsecon.errors import InputError

SAMPLE = 64
"""Copies of a split whose sizes are read to find the size of copies."""


class ImageRef(NamedTuple):
    """Image `number` of a prepared split."""

    split: str
    number: int


class SameFiles:
    """Image files to look up by their content; only files of equal size are read."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self._digests: dict[int, bytes] = {}
        self._by_size: dict[int, list[int]] = defaultdict(list)
        for number, file in enumerate(files):
            with suppress(OSError):
                self._by_size[file.stat().st_size].append(number)

    def equal(self, content: bytes) -> list[int]:
        """Return the numbers of the files with these bytes."""
        candidates = self._by_size.get(len(content), [])
        wanted = hashlib.sha256(content).digest() if candidates else b""
        return [number for number in candidates if self._digest(number) == wanted]

    def _digest(self, number: int) -> bytes:
        if number not in self._digests:
            try:
                with self.files[number].open("rb") as file:
                    self._digests[number] = hashlib.file_digest(file, "sha256").digest()
            except OSError:
                self._digests[number] = b""
        return self._digests[number]


class PreparedImages:
    """Images of a prepared dataset to look up by the files they were prepared from.

    A file is converted as `coarsecon prepare` would convert it, and compared with what is stored: the pixels of
    squares, or the bytes of copies. A file is therefore found under any name and path.
    """

    def __init__(self, dataset: PreparedDataset) -> None:
        self.dataset = dataset

    def places(self, file: Path) -> list[ImageRef]:
        """Return all prepared images equal to this file, those with its name first; empty for a broken file."""
        found = [
            ImageRef(split, number)
            for conversion, splits in self._stored
            if isinstance(converted := conversion(file), Converted)
            for split, images in splits.items()
            for number in images.equal(converted.content)
        ]
        names = {split.name: split.names for split in self.dataset.splits.values()}
        return sorted(dict.fromkeys(found), key=lambda place: Path(names[place.split][place.number]).name != file.name)

    @cached_property
    def _stored(self) -> list[tuple[Conversion, dict[str, "SameFiles | _SameSquares"]]]:
        """The conversions that images may have gone through, with the stored images of each split in that form."""
        stored: dict[Conversion, dict[str, SameFiles | _SameSquares]] = defaultdict(dict)
        for name, split in self.dataset.splits.items():
            if split.images is not None:
                stored[Conversion("square", split.images.shape[-1])][name] = _SameSquares(split)
            elif split.files:
                files = SameFiles(split.files)
                for kind in _copy_kinds(split.files):
                    for side in _copy_sides(split.files, self.dataset.info.size):
                        stored[Conversion(kind, side)][name] = files
        return list(stored.items())


class _SameSquares:
    """Images of a split that is one array, to look up by the bytes of their pixels."""

    def __init__(self, split: Split) -> None:
        assert split.images is not None
        self.images = split.images.numpy()
        self._by_row: dict[bytes, list[int]] = defaultdict(list)
        for number, row in enumerate(np.ascontiguousarray(self._rows)):
            self._by_row[row.tobytes()].append(number)

    @property
    def _rows(self) -> np.ndarray:
        """One row of pixels of one channel of each image, which leaves few candidates."""
        return self.images[:, 1, self.images.shape[2] // 2]

    def equal(self, content: bytes) -> list[int]:
        """Return the numbers of the images with these pixels, uint8 [3, S, S]."""
        square = np.frombuffer(content, np.uint8).reshape(self.images.shape[1:])
        row = square[1, self.images.shape[2] // 2]
        return [i for i in self._by_row.get(row.tobytes(), []) if np.array_equal(self.images[i], square)]


def _copy_kinds(files: Sequence[Path]) -> list[CopyKind]:
    suffixes = {file.suffix for file in files}
    kinds: tuple[CopyKind, ...] = ("jpeg", "png")
    return [kind for kind in kinds if SUFFIX[kind] in suffixes]


def _copy_sides(files: Sequence[Path], size: int) -> set[int]:
    """Return the sizes that copies may have been shrunk to: the usual one, and the largest in a sample of them."""
    shorter = 0
    for file in files[:: max(1, len(files) // SAMPLE)]:
        with suppress(InputError), opened(file) as image:
            shorter = max(shorter, min(image.size))
    usual = shorter_side(size) if size > ARRAY_MAX_SIZE else 0
    return {side for side in (usual, shorter) if side}
