"""Nearest neighbors of queries for the Python API."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.run.embedding import Images, embed_images
from coarsecon.run.tuned import tuned_index
from coarsecon.search.index import EXACT, SearchIndex
from coarsecon.search.space import TunedIndex

if TYPE_CHECKING:
    from coarsecon.run.facade import Run

TUNED = "tuned"

Embed = Callable[[list[np.ndarray]], Tensor]


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


def search_split(run: "Run", query: Images | Tensor, k: int, split: str, index: str, tuned: bool) -> Neighbors:
    """Return the `k` images of a split nearest to each query; see `Run.search`."""
    if k < 1:
        raise InputError("k", f"{k} is below 1", "ask for one neighbor or more")
    is_embedded = isinstance(query, np.ndarray | Tensor) and query.ndim == 2 and not _is_integer(query)
    if tuned and (is_embedded or index != EXACT):
        raise InputError("tuned", "needs images as queries and an exact index", "leave tuned out")
    searched, embed = _searched(run, split, TUNED if tuned else index)
    if is_embedded:
        return find_neighbors(searched, torch.as_tensor(query), k)
    asked, embedded = embed_images(run.store, query, embed=embed)
    same = [run.same_images(Path(image), split) if isinstance(image, str | Path) else set() for image in asked]
    return find_neighbors(searched, torch.from_numpy(embedded), k, same)


def _searched(run: "Run", split: str, index: str) -> tuple[SearchIndex | TunedIndex, Embed | None]:
    """Return an index of a split, kept for later searches, and what embeds its queries if not the store."""
    if (split, index) not in run.indexes:
        images = run.collection(split)
        if index == TUNED:
            gallery, found = tuned_index(run, split, images.items)
            run.indexes[split, index] = found, gallery.images
        else:
            run.indexes[split, index] = SearchIndex.build(images.features, images.items, index), None
    return run.indexes[split, index]


def _is_integer(values: np.ndarray | Tensor) -> bool:
    return not values.is_floating_point() if isinstance(values, Tensor) else values.dtype.kind != "f"


def find_neighbors(
    index: SearchIndex | TunedIndex, queries: Tensor, k: int, same: Sequence[set[int]] | None = None
) -> Neighbors:
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
