"""Assign images to splits or folds: stratified, seeded, and without cutting sets of images that belong together.

Every set has a place in a random order that depends only on the seed and on what its images share (a group, a content
hash). Splits are read off both ends of that order, so new images move few of the old ones to another split.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

TRAIN, TEST, VAL = "train", "test", "val"

Columns = Sequence[Iterable[Hashable]]
"""Columns [N]: images with the same value in a column belong together. None and "" connect nothing."""

Lists = Sequence[Sequence[Hashable]]

ROUNDING = 1e-9
"""Tolerance of the product of a fraction and a number of images."""


def shared_values(hashes: NDArray[np.uint64], groups: Sequence[str] | None) -> list[Sequence[str | int | None]]:
    """Return the columns that connect images: their groups, if known, and their `image_hashes` [N]."""
    columns: list[Sequence[str | int | None]] = [] if groups is None else [groups]
    return [*columns, [number or None for number in hashes.tolist()]]


def assign_splits(
    labels: ArrayLike, fractions: Mapping[str, float], *, groups: Columns = (), seed: int = 0
) -> NDArray[np.str_]:
    """Assign every image to `train` or to one of the splits of `fractions`.

    A split takes its fraction of every class, rounded up or down so that the total is right; with sets of several
    images, as close to that as complete sets allow. Every class keeps at least one set in train. Images that belong
    together get the same split, also if only others connect them.

    Args:
        labels: Class of each image, int64 [N]. Images with -1 (unknown) stay in train unless they belong to others.
        fractions: Fraction of the images per split, `test`, `val` or both.
        groups: Columns whose values connect images. The first value of an image determines its place in the random
            order; without any, its index does.
        seed: Seed of the random order.

    Returns:
        Names of splits [N].

    Example:
        >>> assign_splits([0] * 4 + [1] * 4, {"test": 0.25}).tolist().count("test")
        2
    """
    sets = ImageSets.connect(np.asarray(labels), groups, seed)
    names = np.full(len(sets), TRAIN, dtype="<U5")
    left = np.bincount(sets.classes, minlength=len(sets.sizes))
    for name, order in ((TEST, sets.order), (VAL, sets.order[::-1])):
        if name not in fractions:
            continue
        missing = _quotas(sets, fractions[name], left)
        for number in order.tolist():
            classes, counts = sets.members[number]
            if names[number] != TRAIN or not classes or any(left[c] < 2 for c in classes):
                continue
            if sum(abs(missing[c] - n) - abs(missing[c]) for c, n in zip(classes, counts, strict=True)) < 0:
                names[number] = name
                for c, n in zip(classes, counts, strict=True):
                    missing[c] -= n
                    left[c] -= 1
    return names[sets.of_image]


def hold_out(labels: ArrayLike, fraction: float, *, groups: Columns = (), seed: int = 0) -> NDArray[np.int64]:
    """Return the ascending indices of the validation images that `assign_splits` takes from train.

    Example:
        >>> len(hold_out([0] * 10 + [1] * 20, 0.1))
        3
    """
    return np.flatnonzero(assign_splits(labels, {VAL: fraction}, groups=groups, seed=seed) == VAL)


def assign_folds(labels: ArrayLike, folds: int, *, groups: Columns = (), seed: int = 0) -> NDArray[np.int64]:
    """Assign every image to one of `folds` folds of nearly equal size in each class.

    Sets of images that belong together are assigned from the largest to the smallest, each to the fold that has the
    smallest part of its classes so far. Arguments are those of `assign_splits`.

    Returns:
        Folds int64 [N], 0 to `folds` - 1.
    """
    sets = ImageSets.connect(np.asarray(labels), groups, seed)
    sizes = np.bincount(sets.of_image, minlength=len(sets))
    taken = np.zeros((len(sets.sizes), folds))
    total = np.zeros(folds)
    found = np.zeros(len(sets), np.int64)
    for number in sets.order[np.argsort(-sizes[sets.order], kind="stable")].tolist():
        classes, counts = sets.members[number]
        parts = sum((taken[c] * (n / sets.sizes[c]) for c, n in zip(classes, counts, strict=True)), np.zeros(folds))
        fold = int(np.lexsort((total, parts.round(12)))[0])
        found[number] = fold
        total[fold] += sizes[number]
        for c, n in zip(classes, counts, strict=True):
            taken[c, fold] += n
    return found[sets.of_image]


@dataclass(frozen=True)
class ImageSets:
    """Sets of images that stay together.

    Attributes:
        of_image: Set of each image, int64 [N].
        order: Sets in random order, int64 [S].
        sets: Set of each pair of a set and a class in it, ascending, int64 [P].
        classes: Class of each pair, int64 [P], 0 to C - 1.
        counts: Number of images of each pair, int64 [P].
        sizes: Number of images of each class, int64 [C].
    """

    of_image: NDArray[np.int64]
    order: NDArray[np.int64]
    sets: NDArray[np.int64]
    classes: NDArray[np.int64]
    counts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def connect(cls, labels: NDArray[np.int64], groups: Columns, seed: int) -> "ImageSets":
        """Connect images with a common value in a column; `labels` [N] are -1 where unknown."""
        columns = [column.tolist() if isinstance(column, np.ndarray) else list(column) for column in groups]
        of_image = _components(len(labels), columns)
        keys = np.full(of_image.max(initial=-1) + 1, np.iinfo(np.uint64).max, np.uint64)
        np.minimum.at(keys, of_image, _keys(len(labels), columns, seed))
        known = labels >= 0
        _, numbers = np.unique(labels[known], return_inverse=True)
        width = int(numbers.max(initial=0)) + 1
        pairs, counts = np.unique(of_image[known] * width + numbers, return_counts=True)
        sizes = np.bincount(numbers, minlength=width)
        return cls(of_image, np.argsort(keys, kind="stable"), pairs // width, pairs % width, counts, sizes)

    @cached_property
    def members(self) -> list[tuple[list[int], list[int]]]:
        """Classes and numbers of images of each set."""
        ends = np.searchsorted(self.sets, np.arange(len(self) + 1)).tolist()
        classes, counts = self.classes.tolist(), self.counts.tolist()
        return [(classes[start:end], counts[start:end]) for start, end in pairwise(ends)]

    @cached_property
    def first_places(self) -> NDArray[np.int64]:
        """Smallest place in the random order among the sets of each class, int64 [C]."""
        places = np.empty(len(self), np.int64)
        places[self.order] = np.arange(len(self))
        first = np.full(len(self.sizes), len(self), np.int64)
        np.minimum.at(first, self.classes, places[self.sets])
        return first


def _quotas(sets: ImageSets, fraction: float, left: NDArray[np.int64]) -> list[int]:
    """Return the number of images to take from each class (largest remainder method).

    The total is the fraction of all classes, as far as classes with at least two sets `left` [C] can provide it.
    """
    exact = fraction * sets.sizes
    quotas = np.floor(exact + ROUNDING).astype(np.int64)
    remainders = exact - quotas
    candidates = np.flatnonzero((remainders > ROUNDING) & (left >= 2))
    by_remainder = np.lexsort((sets.first_places[candidates], -remainders[candidates].round(9)))
    missing = int(np.floor(exact.sum() + 0.5 + ROUNDING)) - int(quotas.sum())
    quotas[candidates[by_remainder[: max(0, missing)]]] += 1
    return [int(quota) for quota in quotas]


def _components(count: int, columns: Lists) -> NDArray[np.int64]:
    """Number the connected components of images that share values, int64 [N]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    images: list[int] = []
    values: list[int] = []
    numbers: dict[tuple[int, Hashable], int] = {}
    for column, cells in enumerate(columns):
        for image, value in enumerate(cells):
            if _is_known(value):
                images.append(image)
                values.append(count + numbers.setdefault((column, value), len(numbers)))
    nodes = count + len(numbers)
    edges = coo_array((np.ones(len(images), np.int8), (images, values)), shape=(nodes, nodes))
    _, found = connected_components(edges, directed=False)
    return np.asarray(found[:count], np.int64)


def _keys(count: int, columns: Lists, seed: int) -> NDArray[np.uint64]:
    """Return a random number for each image that depends on the seed and its first known value, uint64 [N]."""

    def key(image: int) -> int:
        first = next(((i, cells[image]) for i, cells in enumerate(columns) if _is_known(cells[image])), image)
        return int.from_bytes(blake2b(repr((seed, first)).encode(), digest_size=8).digest(), "little")

    return np.fromiter(map(key, range(count)), np.uint64, count)


def _is_known(value: Hashable) -> bool:
    return value is not None and value != ""
