"""Verify a prepared dataset: checksums, images that decode, duplicates and leakage."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coarsecon.data.formats.images import decode
from coarsecon.data.prepared.convert import pool_for
from coarsecon.data.prepared.store import PreparedDataset, Split
from coarsecon.errors import InputError
from coarsecon.runtime.pool import map_ahead
from coarsecon.runtime.progress import Progress, Reporter


@dataclass(frozen=True)
class SplitCheck:
    """Result for one split.

    Attributes:
        count: Number of images.
        is_as_written: Whether the checksum is that of `dataset.json`.
        unknown: Number of unknown labels (-1) per level.
        broken: Images that do not decode, and why.
        repeats: Number of images whose pixels equal those of an earlier image of the split.
    """

    count: int
    is_as_written: bool
    unknown: dict[str, int]
    broken: list[str]
    repeats: int


@dataclass(frozen=True)
class DatasetCheck:
    """Result for a dataset.

    Attributes:
        splits: Results of the splits.
        duplicates: Groups of images with equal pixels, each image as (split, index).
        leaks: Number of images of the second split of a pair that are also in the first.
        contradictions: Number of groups of duplicates whose labels differ.
    """

    splits: dict[str, SplitCheck]
    duplicates: list[list[tuple[str, int]]]
    leaks: dict[tuple[str, str], int]
    contradictions: int

    @property
    def is_whole(self) -> bool:
        """True if all files are as written and all images decode."""
        return all(split.is_as_written and not split.broken for split in self.splits.values())


def check_dataset(
    dataset: PreparedDataset, *, workers: int = 2, reporter: Reporter | None = None, chunk_size: int = 64
) -> DatasetCheck:
    """Read every image of a dataset, `chunk_size` files at a time per worker.

    Counts and label ranges were verified when it was opened.
    """
    splits: dict[str, SplitCheck] = {}
    places: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for name, split in dataset.splits.items():
        with (reporter or Reporter()).progress(f"checking {name}", len(split)) as progress:
            marks: list[bytes | str] = []
            broken = []
            digest = hashlib.sha256()
            for mark in _marks(split, workers, progress, digest.update, chunk_size):
                if isinstance(mark, str):
                    broken.append(mark)
                else:
                    places[mark].append((name, len(marks)))
                marks.append(mark)
        for level in sorted(dataset.own_info.levels):
            digest.update(level.encode())
            digest.update(np.ascontiguousarray(split.labels[level].numpy()).data)
        known = [mark for mark in marks if isinstance(mark, bytes)]
        splits[name] = SplitCheck(
            count=len(split),
            is_as_written=digest.hexdigest() == dataset.info.splits[name].checksum,
            unknown={level: int((column < 0).sum()) for level, column in split.labels.items()},
            broken=broken,
            repeats=len(known) - len(set(known)),
        )
    duplicates = [found for found in places.values() if len(found) > 1]
    return DatasetCheck(
        splits, duplicates, _leaks(duplicates), sum(_contradicts(dataset, found) for found in duplicates)
    )


def _marks(
    split: Split, workers: int, progress: Progress, content: Callable[[bytes | memoryview], None], chunk_size: int
) -> Iterator[bytes | str]:
    """Yield the hash of the pixels of each image, or the reason why it does not decode.

    `content` is called with the stored bytes of each image. A copy is read for it right after it was decoded, while it
    is still in the file cache.
    """
    if split.files is None:
        assert split.images is not None
        for image in split.images.numpy():
            split.check_file()
            content(image.data)
            yield hashlib.sha256(image.data).digest()
            progress.advance()
        return
    pieces = [split.files[start : start + chunk_size] for start in range(0, len(split), chunk_size)]
    found = map_ahead(_file_marks, pieces, pool=pool_for(min(workers, len(pieces))), ahead=2 * workers)
    for files, marks in zip(pieces, found, strict=True):
        for file in files:
            content(file.read_bytes())
        yield from marks
        progress.advance(len(marks))


def _file_marks(files: list[Path]) -> list[bytes | str]:
    marks: list[bytes | str] = []
    for file in files:
        try:
            pixels = decode(file)
            marks.append(hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest())
        except InputError as error:
            marks.append(str(error))
    return marks


def _leaks(duplicates: list[list[tuple[str, int]]]) -> dict[tuple[str, str], int]:
    leaks: dict[tuple[str, str], int] = defaultdict(int)
    for places in duplicates:
        names = list(dict.fromkeys(split for split, _ in places))  # in the order of the dataset's splits
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                leaks[first, second] += sum(split == second for split, _ in places)
    return dict(leaks)


def _contradicts(dataset: PreparedDataset, places: list[tuple[str, int]]) -> bool:
    """Return whether equal images have different labels of one level."""
    for level in dataset.info.levels:
        labels = {int(dataset.splits[split].labels[level][number]) for split, number in places} - {-1}
        if len(labels) > 1:
            return True
    return False
