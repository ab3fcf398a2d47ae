"""Data of a map of features: points, labels, names and images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coarsecon.errors import InputError
from coarsecon.pictures.draw import Color
from coarsecon.pictures.rows import Pixels
from coarsecon.report.palette import nested_palette, palette

LabelSet = tuple[ArrayLike, Sequence[str]]
"""Labels [N] of one level, -1 where unknown, and the names of its classes."""


DISTINCT_COLORS = 20
"""Colors that can be distinguished on a map, approximately."""


@dataclass(frozen=True)
class Level:
    """Classes of one level of labels on a map.

    Attributes:
        labels: int64 [N], -1 where unknown.
        parents: For each class the class of the previous level that contains all its images, -1 for a class without
            images; None if classes are not nested.
    """

    name: str
    labels: NDArray[np.int64]
    classes: Sequence[str]
    parents: list[int] | None
    colors: list[Color]

    @property
    def color_note(self) -> str:
        """Note for levels with more classes than distinguishable colors; empty otherwise."""
        if len(self.classes) <= DISTINCT_COLORS:
            return ""
        if self.parents:
            return "Colors distinguish classes within a coarse class; those of another may be similar."
        return "There are more classes than distinguishable colors."


@dataclass(frozen=True)
class ClassWeights:
    """Classifier weights of each class of the level called `level`, as points [C, 2] on the map."""

    points: NDArray[np.float64]
    level: str


@dataclass(frozen=True)
class FeatureMap:
    """N images in the plane.

    Attributes:
        points: [N, 2] in the unit square.
        names: Names of the images.
        pixels: `pixels(i)` is image i, uint8 [H, W, 3].
        levels: Levels of labels, the coarser first.
    """

    title: str
    points: NDArray[np.float64]
    names: Sequence[str]
    pixels: Callable[[int], Pixels]
    levels: list[Level] = field(default_factory=list)
    weights: ClassWeights | None = None

    def __len__(self) -> int:
        return len(self.points)


def feature_map(
    points: ArrayLike,
    pixels: Callable[[int], Pixels],
    levels: Mapping[str, LabelSet],
    *,
    title: str,
    names: Sequence[str] | None = None,
    weights: tuple[ArrayLike, str] | None = None,
) -> FeatureMap:
    """Make a map of points [N, 2], which are scaled to the unit square.

    Args:
        levels: Labels by level, the coarser first.
        weights: Points [C, 2] of class weights in the same plane, and the level of their C classes.

    Raises:
        InputError: There is no point, one is not finite, or the labels, names or weights do not match.
    """
    images = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    stars = np.asarray(weights[0] if weights else [], dtype=np.float64).reshape(-1, 2)
    places = np.concatenate([images, stars])
    count = len(images)
    if count == 0 or not np.isfinite(places).all():
        raise InputError("points", "must be at least one, with finite coordinates")
    if names is not None and len(names) != count:
        raise InputError("names", f"there are {len(names)} for {count} points")
    placed = _unit_square(places)
    known = _levels(levels, count)
    if weights and (weights[1] not in levels or len(stars) != len(levels[weights[1]][1])):
        raise InputError("weights", f"there are {len(stars)}, but each class of the level {weights[1]} needs one")
    return FeatureMap(
        title=title,
        points=placed[:count],
        names=list(names) if names is not None else [f"image {i}" for i in range(count)],
        pixels=pixels,
        levels=known,
        weights=ClassWeights(placed[count:], weights[1]) if weights else None,
    )


def spread(points: NDArray[np.float64], side: float) -> list[int]:
    """Choose as many of the points [N, 2] as fit, in random order, so that squares of `side` do not overlap."""
    taken: dict[tuple[int, int], int] = {}  # a cell of this side holds at most one
    for i in np.random.default_rng(0).permutation(len(points)).tolist():
        column, row = (int(value // side) for value in points[i])
        near = [taken.get((column + dx, row + dy)) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        if all(other is None or np.abs(points[other] - points[i]).max() >= side for other in near):
            taken[column, row] = i
    return list(taken.values())


def _unit_square(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move and scale the places [N, 2], both axes equally, into the middle of the unit square."""
    low, high = places.min(axis=0), places.max(axis=0)
    return (places - (low + high) / 2) / (max(high - low) or 1.0) + 0.5


def _levels(levels: Mapping[str, LabelSet], count: int) -> list[Level]:
    known: list[Level] = []
    for name, (labels, classes) in levels.items():
        column = _labels(name, labels, len(classes), count)
        parents = _parents(column, len(classes), known[-1]) if known else None
        colors = nested_palette(parents) if parents else palette(len(classes))
        known.append(Level(name, column, list(classes), parents, colors))
    return known


def _labels(level: str, labels: ArrayLike, classes: int, count: int) -> NDArray[np.int64]:
    column = np.asarray(labels, dtype=np.int64)
    if column.shape != (count,):
        raise InputError(f"{level} labels", f"there are {column.size} for {count} points", "use -1 for unknown")
    if column.max() >= classes:
        raise InputError(f"{level} labels", f"include {column.max()}, but there are {classes} class names")
    return column


def _parents(labels: NDArray[np.int64], classes: int, coarser: Level) -> list[int] | None:
    """Return for each class the one of `coarser` that contains all its images, -1 for a class without images."""
    both = (labels >= 0) & (coarser.labels >= 0)
    pairs = np.unique(np.stack([labels[both], coarser.labels[both]]), axis=1).T
    if len(pairs) != len(np.unique(pairs[:, 0])):
        return None
    parents = [-1] * classes
    for child, parent in pairs.tolist():
        parents[child] = parent
    return parents
