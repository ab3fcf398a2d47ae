"""Nearest neighbors of queries for the Python API."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from coarsecon.search.index import SearchIndex


@dataclass(frozen=True)
class Neighbors:
    """Nearest neighbors of Q queries, best first, at most k per query.

    Row i has the `scores` (cosines), the `indices` into the searched images, their `names`, and their class names by
    level in `labels`, None where a label is unknown.
    """

    scores: list[list[float]]
    indices: list[list[int]]
    names: list[list[str]]
    labels: dict[str, list[list[str | None]]]


def find_neighbors(index: SearchIndex, queries: Tensor, k: int, same: Sequence[set[int]] | None = None) -> Neighbors:
    """Return the `k` items of an index nearest to each query [Q, D]; `same[i]` are items to leave out for query i."""
    excluded = same or [set() for _ in queries]
    hits = index.query(queries, k + max(map(len, excluded), default=0))
    found = [
        [(i, score) for i, score in zip(*row, strict=True) if i >= 0 and i not in own][:k]
        for own, *row in zip(excluded, hits.indices.tolist(), hits.scores.tolist(), strict=True)
    ]
    items = index.items
    return Neighbors(
        scores=[[score for _, score in row] for row in found],
        indices=[[i for i, _ in row] for row in found],
        names=[[items.names[i] for i, _ in row] for row in found],
        labels={level: [[items.label(level, i) for i, _ in row] for row in found] for level in items.labels},
    )
