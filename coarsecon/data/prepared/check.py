"""Whether a prepared dataset is whole: checksums, images that decode, and pictures that occur more than once."""

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

PIECE = 64
"""Image files that are decoded at once."""


@dataclass(frozen=True)
class SplitCheck:
    """What was found of one split: `unknown` counts its labels of -1 per level, `broken` tells what does not decode,
    `repeats` counts images that another image of the split equals pixel by pixel (all but the first of each)."""

    count: int
    is_as_written: bool
    unknown: dict[str, int]
    broken: list[str]
    repeats: int


@dataclass(frozen=True)
class DatasetCheck:
    """`twins` holds every picture that occurs more than once, as its places (split, number); `leaks` counts, for each
    pair of splits, the images of the second that stand in the first too; `contradictions` counts the twins whose
    labels differ."""

    splits: dict[str, SplitCheck]
    twins: list[list[tuple[str, int]]]
    leaks: dict[tuple[str, str], int]
    contradictions: int

    @property
    def is_whole(self) -> bool:
        """Whether everything is as it was written, and decodes."""
        return all(split.is_as_written and not split.broken for split in self.splits.values())


def check_dataset(dataset: PreparedDataset, *, workers: int = 2, reporter: Reporter | None = None) -> DatasetCheck:
    """Read every image of a dataset; what opening it checks (counts, label ranges) has been checked before."""
    splits: dict[str, SplitCheck] = {}
    places: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for name, split in dataset.splits.items():
        with (reporter or Reporter()).progress(f"checking {name}", len(split)) as progress:
            marks: list[bytes | str] = []
            broken = []
            digest = hashlib.sha256()
            for mark in _marks(split, workers, progress, digest.update):
                if isinstance(mark, str):
                    broken.append(mark)
                else:
                    places[mark].append((name, len(marks)))
                marks.append(mark)
        for level, column in sorted(split.labels.items()):
            digest.update(level.encode())
            digest.update(np.ascontiguousarray(column.numpy()).data)
        known = [mark for mark in marks if isinstance(mark, bytes)]
        splits[name] = SplitCheck(
            count=len(split),
            is_as_written=digest.hexdigest() == dataset.info.splits[name].checksum,
            unknown={level: int((column < 0).sum()) for level, column in split.labels.items()},
            broken=broken,
            repeats=len(known) - len(set(known)),
        )
    twins = [found for found in places.values() if len(found) > 1]
    return DatasetCheck(splits, twins, _leaks(twins), sum(_contradicts(dataset, found) for found in twins))


def _marks(
    split: Split, workers: int, progress: Progress, content: Callable[[bytes | memoryview], None]
) -> Iterator[bytes | str]:
    """The hash of each image's pixels, or what is wrong with it; `content` is told what is stored, image by image.

    A copy is read for it right after it was decoded, while the system still has it in memory.
    """
    if split.files is None:
        assert split.images is not None
        for image in split.images.numpy():
            split.check_file()
            content(image.data)
            yield hashlib.sha256(image.data).digest()
            progress.advance()
        return
    pieces = [split.files[start : start + PIECE] for start in range(0, len(split), PIECE)]
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


def _leaks(twins: list[list[tuple[str, int]]]) -> dict[tuple[str, str], int]:
    leaks: dict[tuple[str, str], int] = defaultdict(int)
    for places in twins:
        names = list(dict.fromkeys(split for split, _ in places))  # in the order of the dataset's splits
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                leaks[first, second] += sum(split == second for split, _ in places)
    return dict(leaks)


def _contradicts(dataset: PreparedDataset, places: list[tuple[str, int]]) -> bool:
    """Whether equal pictures have two labels of one level."""
    for level in dataset.info.levels:
        labels = {int(dataset.splits[split].labels[level][number]) for split, number in places} - {-1}
        if len(labels) > 1:
            return True
    return False
