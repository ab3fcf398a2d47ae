"""Hierarchy of label levels, detected from the labels: which level refines which, and the distance of two classes.

A level refines another if all images of each of its classes are in one class of the other. Images whose label of
either level is unknown (-1) do not count. A few images may contradict; they are listed, for reports.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_CONTRADICTIONS = 0.01
"""Fraction of the images with both labels that may contradict a refinement."""
MAX_CONTRADICTIONS_OUTSIDE_LARGEST = 0.1
"""The same as a fraction of the images outside of the largest coarser class: any level predicts that one."""
MAX_TABLE = 2**22
"""Number of pairs of classes up to which they are counted in a table, which takes no sorting."""
MIN_IMAGES_PER_CLASS = 2
"""Mean number of images per class that a finer level needs: a level of unique numbers would refine all others."""


@dataclass(frozen=True)
class Refinement:
    """Classes of a finer level inside those of a coarser one.

    Attributes:
        finer: Name of the finer level.
        coarser: Name of the coarser level.
        parents: Coarser class int64 [C] of most images of each finer class; -1 for a class without images that count.
        images: Number of images with labels of both levels.
        outside_largest: Number of those outside of the largest coarser class.
        contradicting: Indices int64 [M] of those that are not in the class in `parents`, ascending.
    """

    finer: str
    coarser: str
    parents: Tensor
    images: int
    outside_largest: int
    contradicting: Tensor

    @property
    def holds(self) -> bool:
        """True if the finer classes are inside the coarser ones, up to few images."""
        count, classes = len(self.contradicting), int((self.parents >= 0).sum())
        return (
            self.images >= max(1, MIN_IMAGES_PER_CLASS * classes)
            and count <= MAX_CONTRADICTIONS * self.images
            and count <= MAX_CONTRADICTIONS_OUTSIDE_LARGEST * self.outside_largest
        )


@dataclass(frozen=True)
class Outside:
    """A level that is not in the hierarchy: the reason, and the better of two refinements that images contradict."""

    reason: str
    nearest: Refinement | None = None


@dataclass(frozen=True)
class Hierarchy:
    """A chain of label levels, each of which refines the one before.

    Attributes:
        levels: Their names, the coarsest first.
        parents: For each level, the class int64 [C] of the level before that each of its classes is in; -1 where no
            image shows it. At the coarsest level it is 0, the root.
        contradictions: Refinements in the chain that images contradict, each image once.
        outside: Levels that are not in the chain.
    """

    levels: tuple[str, ...] = ()
    parents: Mapping[str, Tensor] = field(default_factory=dict)
    contradictions: tuple[Refinement, ...] = ()
    outside: Mapping[str, Outside] = field(default_factory=dict)

    def restricted(self, levels: Container[str]) -> "Hierarchy":
        """Return the hierarchy of those of its levels that are in `levels`."""
        kept = tuple(level for level in self.levels if level in levels)
        parents: dict[str, Tensor] = {}
        for level in kept:
            place = self.levels.index(level)
            parent = self.parents[level]
            while place > 0 and self.levels[place - 1] not in kept:
                place -= 1
                parent = torch.where(parent >= 0, self.parents[self.levels[place]][parent], -1)
            parents[level] = parent
        found = tuple(each for each in self.contradictions if each.finer in kept and each.coarser in kept)
        return Hierarchy(kept, parents, found, self.outside)

    @cached_property
    def ancestors(self) -> Tensor:
        """Class int64 [L, C] of each class of the finest level at every level, the coarsest first.

        A class without a known parent has ancestors below -1, which only the classes inside it share.
        """
        here = torch.arange(len(self.parents[self.levels[-1]]))
        found, unknown = [here], -2
        for level in self.levels[:0:-1]:
            parents = self.parents[level]
            above = torch.where(here >= 0, parents[here.clamp(min=0)], here)
            here = torch.where(above == -1, unknown - here, above)
            unknown -= len(parents)
            found.append(here)
        return torch.stack(found[::-1])

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the height of the lowest common ancestor of classes of the finest level.

        It is 0 for the same class, 1 for two classes with the same parent, and the number of levels for classes whose
        only common ancestor is the root (Bertinetto et al., Making Better Mistakes, CVPR 2020).

        Args:
            first: Classes int64 of any shape.
            second: Classes int64 of a shape that broadcasts with it.

        Returns:
            int64 of the common shape; -1 where a class is unknown (-1).
        """
        first, second = torch.broadcast_tensors(first, second)
        height = (self.ancestors[:, first] != self.ancestors[:, second]).sum(0)
        return height.masked_fill((first < 0) | (second < 0), -1)


def refinement(labels: Mapping[str, Tensor], finer: str, coarser: str, classes: int) -> Refinement:
    """Find the coarser class of each of `classes` finer classes, from labels int64 [N] (-1: unknown) of both levels."""
    fine, coarse = labels[finer], labels[coarser]
    counted = ((fine >= 0) & (coarse >= 0)).nonzero().flatten()
    fine, coarse = fine[counted], coarse[counted]
    if not len(counted):
        return Refinement(finer, coarser, torch.full((classes,), -1), 0, 0, counted)
    width = int(coarse.max()) + 1
    pairs, counts = _counted((fine * width + coarse).numpy(), classes * width)
    below, above = np.divmod(pairs, width)
    order = np.lexsort((-above, counts))  # NumPy keeps the last value that is written: that of most images
    parents = np.full(classes, -1)
    parents[below[order]] = above[order]
    found = torch.from_numpy(parents)
    outside_largest = len(counted) - int(coarse.bincount().max())
    return Refinement(finer, coarser, found, len(counted), outside_largest, counted[found[fine] != coarse])


def _counted(numbers: NDArray[np.int64], bound: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the different numbers [N] below `bound`, ascending, and their counts."""
    if bound > MAX_TABLE:
        return np.unique(numbers, return_counts=True)
    counts = np.bincount(numbers)
    found = np.flatnonzero(counts)
    return found, counts[found]


def find_hierarchy(labels: Mapping[str, Tensor], classes: Mapping[str, int]) -> Hierarchy:
    """Detect the hierarchy of label levels.

    It begins with coarse and fine; then each other level, in the order of its number of labels, is added if it is finer
    or coarser than every level so far.

    Args:
        labels: Labels int64 [N] of each level, -1 where unknown.
        classes: Number of classes of each level.
    """
    pairs: dict[tuple[str, str], Refinement] = {}
    chain: list[str] = []
    outside: dict[str, Outside] = {}
    for level in _in_order(labels):
        seen = int((labels[level][labels[level] >= 0].bincount() > 0).sum())
        if seen < 2:
            outside[level] = Outside("has a single class" if seen else "has no labels")
            continue
        pairs |= {pair: refinement(labels, *pair, classes[pair[0]])
                  for other in chain for pair in ((level, other), (other, level))}  # fmt: skip
        obstacles = [found for other in chain if (found := _obstacle(pairs, level, other))]
        coarser = [_is_finer(pairs, level, other) for other in chain]
        if obstacles or coarser != sorted(coarser, reverse=True):
            outside[level] = obstacles[0] if obstacles else Outside("contradicts the order of the levels")
        else:
            chain.insert(sum(coarser), level)
    parents = {level: pairs[level, above].parents for above, level in pairwise(chain)}
    root = {level: torch.zeros(classes[level], dtype=torch.int64) for level in chain[:1]}
    return Hierarchy(tuple(chain), root | parents, _contradictions(pairs, chain), outside)


def _in_order(labels: Mapping[str, Tensor]) -> list[str]:
    known = {level: int((column >= 0).sum()) for level, column in labels.items()}
    return sorted(labels, key=lambda level: (level != "coarse", level != "fine", -known[level], level))


def _is_finer(pairs: Mapping[tuple[str, str], Refinement], level: str, other: str) -> bool:
    """Return whether `level` refines `other`, with fewer contradictions than the reverse."""
    down, up = pairs[level, other], pairs[other, level]
    return down.holds and (not up.holds or len(down.contradicting) < len(up.contradicting))


def _obstacle(pairs: Mapping[tuple[str, str], Refinement], level: str, other: str) -> Outside | None:
    """Return why neither of two levels refines the other; None if one does."""
    if _is_finer(pairs, level, other) or _is_finer(pairs, other, level):
        return None
    down, up = pairs[level, other], pairs[other, level]
    if not down.images:
        return Outside(f"has no label on any image with a {other} label")
    if down.holds:
        return Outside(f"has the same classes as {other}")
    nearest = min(down, up, key=lambda each: len(each.contradicting))
    if not len(nearest.contradicting):
        return Outside(f"has too few images per class to be compared with {other}")
    return Outside(f"neither refines {other} nor is refined by it", nearest)


def _contradictions(pairs: Mapping[tuple[str, str], Refinement], chain: list[str]) -> tuple[Refinement, ...]:
    """Return the pairs of levels of a chain that images contradict, neighbors first; each image is in one of them."""
    found: list[Refinement] = []
    listed = torch.empty(0, dtype=torch.int64)
    for gap in range(1, len(chain)):
        for above, level in zip(chain, chain[gap:], strict=False):
            pair = pairs[level, above]
            new = pair.contradicting[~torch.isin(pair.contradicting, listed)]
            if len(new):
                found.append(replace(pair, contradicting=new))
                listed = torch.cat([listed, new])
    return tuple(found)
