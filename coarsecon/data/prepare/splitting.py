"""Hold out test and validation images of a source that has no such splits."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coarsecon.data.prepare.balance import some_names
from coarsecon.data.prepare.split import TEST, TRAIN, VAL, assign_splits, shared_values
from coarsecon.data.prepared.classes import fine_first
from coarsecon.data.prepared.hashes import Hashes, file_hashes, pixel_hash
from coarsecon.data.sources import Chunked, ImageFile, Images, SourceData, SplitData
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter

EXAMPLE = "write for example test=0.2,val=0.1"


def parse_fractions(split: str | Mapping[str, float]) -> dict[str, float]:
    """Return the fraction of `test`, of `val`, or of both, from a mapping or from text such as "test=0.2,val=0.1".

    Train gets the rest; it may be named if the fractions sum to 1.

    Raises:
        InputError: A name is unknown or repeated, a fraction is not between 0 and 1, or they leave nothing for train.
    """
    pairs = [_pair(text) for text in split.split(",")] if isinstance(split, str) else list(split.items())
    found = dict(pairs)
    for name, fraction in pairs:
        if name not in (TRAIN, TEST, VAL):
            raise InputError("split", f"{name!r} is not a split that can be made", "choose train, val and test")
        if not 0 < fraction < 1:
            raise InputError("split", f"the fraction of {name} is {fraction:g}, not between 0 and 1", EXAMPLE)
    if len(found) < len(pairs):
        raise InputError("split", "names a split twice", EXAMPLE)
    total, rest = sum(found.values()), found.pop(TRAIN, None)
    if not found:
        raise InputError("split", "names neither test nor val", EXAMPLE)
    if rest is None and total >= 1:
        raise InputError("split", f"the fractions sum to {total:g}, which leaves no image for train", EXAMPLE)
    if rest is not None and not math.isclose(total, 1, abs_tol=1e-6):
        hint = f"omit train, which gets the remaining {1 - sum(found.values()):g}"
        raise InputError("split", f"the fractions sum to {total:g}, not to 1", hint)
    return found


def _pair(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name.strip(), float(number)
    except ValueError:
        raise InputError("split", f"{text.strip()!r} is not a name and a fraction", EXAMPLE) from None


def split_train(
    data: SourceData,
    fractions: Mapping[str, float],
    *,
    seed: int = 0,
    workers: int = 2,
    reporter: Reporter | None = None,
) -> SourceData:
    """Move a fraction of the train images of `data` to each new split, with a note on how.

    Splits are stratified by the finest label of each image. Images with equal pixels and images of one group get the
    same split. Images without a label, and those that cannot be read, stay in train.

    Raises:
        InputError: A split exists already or would be empty, or all images belong to one group.
    """
    if taken := [name for name in fractions if name in data.splits]:
        raise InputError("split", f"{data.name} already has the split {taken[0]}", f"omit {taken[0]}")
    train = data.splits[TRAIN]
    level, strata = finest_labels(train.labels)
    hashes = _hashes(train.images, workers, reporter or Reporter())
    strata = np.where(hashes > 0, strata, -1)
    if train.groups is not None:
        _check_groups(train.groups)
    names = assign_splits(strata, fractions, groups=shared_values(hashes, train.groups), seed=seed)
    for name in fractions:
        if name not in names:
            unit = "images" if train.groups is None else "groups"
            problem = f"the split {name} would be empty: no class has enough {unit} for {fractions[name]:g} of them"
            raise InputError("split", problem, "use a larger fraction")
    parts = {name: take_images(train, np.flatnonzero(names == name)) for name in (TRAIN, VAL, TEST) if name in names}
    splits = {TRAIN: parts[TRAIN]} | {name: part for name, part in data.splits.items() if name != TRAIN} | parts
    made = ", ".join(f"{name} {fractions[name]:g}" for name in (VAL, TEST) if name in fractions)
    notes = [f"Splits of the train images: {made}, stratified by {level} label, seed {seed}."]
    known = hashes[hashes > 0]
    if repeats := len(known) - len(np.unique(known)):
        notes.append(f"{repeats:,} exact duplicates are in the split of the image that they repeat.")
    if train.groups is not None:
        count = len(set(train.groups) - {""})
        notes.append(f"Every one of {count:,} groups of images is in one split.")
    for name in fractions:
        notes += _too_small(name, level, data.levels[level], train.labels[level], parts[name].labels[level])
    return replace(data, splits=splits, notes=" ".join(filter(None, [data.notes, *notes])))


def finest_labels(
    labels: Mapping[str, NDArray[np.int64]], levels: Sequence[str] = ("fine", "coarse")
) -> tuple[str, NDArray[np.int64]]:
    """Return the finest level, and a class per image at the finest level where it has a label (-1: it has none).

    Classes of different levels have different numbers. `levels` are those to use, the finest first; without any of
    them, the first one that there is.
    """
    used = [level for level in levels if level in labels] or fine_first(labels)[:1]
    strata = np.asarray(labels[used[0]], np.int64)
    for level in used[1:]:
        column = np.asarray(labels[level], np.int64)
        strata = np.where((strata < 0) & (column >= 0), column + strata.max(initial=-1) + 1, strata)
    return used[0], strata


def _check_groups(groups: Sequence[str]) -> None:
    if len(set(groups)) == 1 and groups[0]:
        raise InputError("group", f"all {len(groups):,} images are in the group {groups[0]!r}", "choose another column")


def _too_small(split: str, level: str, names: list[str], before: ArrayLike, taken: ArrayLike) -> list[str]:
    """Return a sentence on the classes of `before` [N] that have no image among `taken` [M]."""
    missing = [names[number] for number in np.setdiff1d(before, taken).tolist() if number >= 0]
    return [f"{some_names(missing, f'{level} class', 'es')} too small for a {split} image."] if missing else []


def _hashes(images: Images, workers: int, reporter: Reporter) -> Hashes:
    with reporter.progress("finding duplicates", len(images)) as progress:
        if not isinstance(images, np.ndarray | Chunked):
            return file_hashes(images, workers=workers, progress=progress)
        found: list[int] = []
        for piece in images.pieces() if isinstance(images, Chunked) else [images]:
            found += [pixel_hash(pixels) for pixels in piece]
            progress.advance(len(piece))
        return np.array(found, np.uint64)


def take_images(split: SplitData, indices: NDArray[np.int64]) -> SplitData:
    """Return the images at ascending `indices`; files and pieces are not read."""
    listed = indices.tolist()
    return SplitData(
        {level: np.asarray(column)[indices] for level, column in split.labels.items()},
        _taken(split.images, indices),
        split.names and [split.names[i] for i in listed],
        split.groups and [split.groups[i] for i in listed],
    )


def _taken(images: Images, indices: NDArray[np.int64]) -> Images:
    if isinstance(images, np.ndarray):
        return images[indices]
    return _chunks(images, indices) if isinstance(images, Chunked) else Selected(images, indices.tolist())


def _chunks(images: Chunked, indices: NDArray[np.int64]) -> Chunked:
    def pieces() -> Iterator[np.ndarray]:
        start = 0
        for piece in images.pieces():
            first, last = np.searchsorted(indices, [start, start + len(piece)])
            if first < last:
                yield piece[indices[first:last] - start]
            start += len(piece)

    return Chunked(len(indices), images.image_size, pieces)


class Selected(Sequence[ImageFile]):
    """Some of the files of a sequence, which are read from it only when they are used."""

    def __init__(self, files: Sequence[ImageFile], indices: Sequence[int]) -> None:
        self._files, self._indices = files, indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, place: int) -> ImageFile: ...
    @overload
    def __getitem__(self, place: slice) -> "Selected": ...
    def __getitem__(self, place: int | slice) -> "ImageFile | Selected":
        if isinstance(place, slice):
            return Selected(self._files, self._indices[place])
        return self._files[self._indices[place]]
