"""Queries with their neighbors for display, and the judgment of each neighbor."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class Picture(NamedTuple):
    """Image, uint8 [H, W, 3], with its name and the names of its classes where known.

    `heat` is the same image under its heat map, if requested; see `heat.overlay`.
    """

    pixels: Pixels
    name: str
    coarse: str | None = None
    fine: str | None = None
    heat: Pixels | None = None


class Neighbor(NamedTuple):
    """Image that a search returned, and its similarity to the query."""

    picture: Picture
    score: float


class GalleryRow(NamedTuple):
    """Query with its neighbors, best first."""

    query: Picture
    neighbors: Sequence[Neighbor]


class Verdict(NamedTuple):
    """Mark of a neighbor: its kind and its meaning in words."""

    kind: Literal["right", "near", "wrong"]
    meaning: str


SAME_FINE = Verdict("right", "same fine class")
SAME_COARSE = Verdict("right", "same coarse class")
SAME_COARSE_ONLY = Verdict("near", "same coarse, other fine class")
OTHER_FINE = Verdict("wrong", "other fine class")
OTHER_COARSE = Verdict("wrong", "other coarse class")
VERDICTS = (SAME_FINE, SAME_COARSE, SAME_COARSE_ONLY, OTHER_FINE, OTHER_COARSE)


def judge(query: Picture, item: Picture) -> Verdict | None:
    """Compare two images by fine class, else by coarse class; None if neither is known of both."""
    same_coarse = None if query.coarse is None or item.coarse is None else query.coarse == item.coarse
    if query.fine is not None and item.fine is not None:
        if query.fine == item.fine and same_coarse is not False:
            return SAME_FINE
        if same_coarse is None:
            return OTHER_FINE
        return SAME_COARSE_ONLY if same_coarse else OTHER_COARSE
    if same_coarse is None:
        return None
    return SAME_COARSE if same_coarse else OTHER_COARSE
