"""Convert images piece by piece, with a journal from which a killed run resumes."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from coarsecon.data.formats.images import ImageFile, Stored
from coarsecon.data.prepare.writers import ArrayWriter, Writer
from coarsecon.data.prepared.convert import Broken, Conversion, Converted, histogram, pool_for
from coarsecon.data.prepared.schema import Record
from coarsecon.data.sources import Chunked
from coarsecon.errors import InputError
from coarsecon.runtime.pool import map_ahead

PIECE = 128
"""Number of images per entry of the journal."""
ARRAY_PIECE = 4096
"""Number of images of an array that are written at once."""


class Pixels(NamedTuple):
    """The written images.

    Attributes:
        digest: SHA-256 of the images in order.
        histogram: Their `histogram` [3, 256].
        broken: Reasons why images were left out, by index.
    """

    digest: Any
    histogram: np.ndarray
    broken: dict[int, str]


def write_arrays(
    name: str, images: np.ndarray | Chunked, writer: ArrayWriter, advance: Callable[[int], None]
) -> Pixels:
    """Write the images of the split `name`; raises InputError if their shape or number is wrong."""
    pixels = Pixels(hashlib.sha256(), np.zeros((3, 256), np.int64), {})
    for piece in images.pieces() if isinstance(images, Chunked) else _cut(images):
        if piece.dtype != np.uint8 or piece.shape[1:] != (3, writer.image_size, writer.image_size):
            expected = f"uint8 [N, 3, {writer.image_size}, {writer.image_size}]"
            raise InputError(name, f"images are {piece.dtype} {list(piece.shape)}, not {expected}")
        writer.write(range(len(piece)), [piece])
        pixels.digest.update(np.ascontiguousarray(piece).data)
        pixels.histogram[:] += histogram(piece)
        advance(len(piece))
    if writer.count != len(images):
        raise InputError(name, f"{writer.count} images instead of {len(images)}")
    return pixels


def _cut(images: np.ndarray) -> Iterator[np.ndarray]:
    return (images[start : start + ARRAY_PIECE] for start in range(0, len(images), ARRAY_PIECE))


class Entry(Record):
    """A finished piece.

    Attributes:
        inputs: Hash of its files and of their conversion.
        broken: Reasons why images cannot be read, by index.
        histogram: Histogram [3, 256] of the others.
        digest: SHA-256 of everything written up to its end.
    """

    inputs: str
    broken: dict[int, str]
    histogram: list[list[int]]
    digest: str


class Journal:
    """Converts the files of a split into `writer`, from where an earlier run with the same journal ended."""

    def __init__(self, file: Path, files: Sequence[ImageFile], conversion: Conversion, writer: Writer) -> None:
        self.file, self.files, self.conversion, self.writer = file, files, conversion, writer
        self._broken: dict[int, str] = {}
        self._histogram = np.zeros((3, 256), np.int64)
        self._digest = hashlib.sha256()

    def convert(self, workers: int, advance: Callable[[int], None]) -> Pixels:
        """Convert all files; `advance` is called with the number of images done."""
        pieces = [range(start, min(start + PIECE, len(self.files))) for start in range(0, len(self.files), PIECE)]
        pieces = pieces[self._resume(pieces, advance) :]
        work = ([self.files[i] for i in piece] for piece in pieces)
        pool = pool_for(min(workers, len(pieces)))
        results = map_ahead(self.conversion.all, work, pool=pool, ahead=2 * workers)
        with self.file.open("a", encoding="utf-8") as out:
            for piece, found in zip(pieces, results, strict=True):
                out.write(self._write(piece, found).model_dump_json() + "\n")
                out.flush()
                for _ in piece:
                    advance(1)
        return Pixels(self._digest, self._histogram, self._broken)

    def _write(self, piece: range, found: list[Converted | Broken]) -> Entry:
        images = {i: image for i, image in zip(piece, found, strict=True) if isinstance(image, Converted)}
        broken = {i: image.reason for i, image in zip(piece, found, strict=True) if isinstance(image, Broken)}
        counts = np.zeros((3, 256), np.int64)
        for image in images.values():
            counts += image.histogram
            self._digest.update(image.content)
        self.writer.write(list(images), [image.content for image in images.values()])
        self._broken |= broken
        self._histogram += counts
        return Entry(
            inputs=self._inputs(piece), broken=broken, histogram=counts.tolist(), digest=self._digest.hexdigest()
        )

    def _resume(self, pieces: list[range], advance: Callable[[int], None]) -> int:
        """Skip the pieces that an earlier run wrote intact from the same files; return their number."""
        done, size = 0, 0
        for piece, (entry, length) in zip(pieces, _entries(self.file), strict=False):
            kept = [i for i in piece if i not in entry.broken]
            digest = self._digest.copy()
            for content in self.writer.recall(kept):
                digest.update(content)
            if entry.inputs != self._inputs(piece) or digest.hexdigest() != entry.digest:
                break
            self.writer.skip(kept)
            self._digest = digest
            self._broken |= entry.broken
            self._histogram += np.array(entry.histogram)
            advance(len(piece))
            done, size = done + 1, size + length
        self.file.touch()
        os.truncate(self.file, size)
        return done

    def _inputs(self, piece: Iterable[int]) -> str:
        digest = hashlib.sha256(repr(self.conversion).encode())
        for i in piece:
            digest.update(_identity(self.files[i]))
        return digest.hexdigest()


def _entries(file: Path) -> Iterator[tuple[Entry, int]]:
    """Yield the finished pieces of an earlier run and their lengths in the journal, up to a broken line."""
    if not file.exists():
        return
    with file.open("rb") as lines:
        for line in lines:
            try:
                yield Entry.model_validate_json(line), len(line)
            except ValidationError:
                return


def _identity(file: ImageFile) -> bytes:
    """Return what identifies a file: its content in memory, else its path, size and modification time."""
    if isinstance(file, bytes):
        return hashlib.sha256(file).digest()
    place = file.archive if isinstance(file, Stored) else file
    try:
        status = place.stat()
    except OSError as error:
        return repr((str(file), error.errno)).encode()
    within = (file.offset, file.length) if isinstance(file, Stored) else ()
    return repr((str(place.absolute()), status.st_size, status.st_mtime_ns, within)).encode()
