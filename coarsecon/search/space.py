"""The space that tuned features are compared in: several sets of features, transformed and concatenated."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coarsecon.search.exact import l2_normalize, nearest
from coarsecon.search.fusion import concatenate, fuse_ranks
from coarsecon.search.index import Neighbors
from coarsecon.search.items import ItemTable
from coarsecon.search.rerank import Reciprocity, Reranker
from coarsecon.search.whitening import Transform, Whitening, fit_transform

LIST_DEPTH = 100
"""Neighbors of a query that are re-ranked or fused."""


@dataclass(frozen=True)
class FeatureSpace:
    """Map sets of features [N, D_i] of the same images to one space [N, D]; fitted on a gallery.

    With `is_separate`, each set has its own transform, so that it can be searched separately; else their
    concatenation has one.
    """

    weights: Sequence[float]
    is_separate: bool
    transforms: Sequence[Whitening | None]

    @classmethod
    def fit(
        cls, gallery: Sequence[Tensor], weights: Sequence[float], transform: Transform, *, separate: bool = False
    ) -> "FeatureSpace":
        """Fit the transforms on the features of a gallery."""
        parts = list(gallery) if separate else [concatenate(gallery, weights)]
        return cls(weights, separate, [fit_transform(l2_normalize(part), transform) for part in parts])

    def parts(self, sets: Sequence[Tensor]) -> list[Tensor]:
        """Return the transformed, L2-normalized features of each set, or of the only concatenation."""
        given = [l2_normalize(part) for part in sets] if self.is_separate else [concatenate(sets, self.weights)]
        pairs = zip(given, self.transforms, strict=True)
        return [part if transform is None else transform.normalized(part) for part, transform in pairs]

    def __call__(self, sets: Sequence[Tensor]) -> Tensor:
        """Return the features [N, D] of images with these sets of features."""
        parts = self.parts(sets)
        return concatenate(parts, self.weights) if self.is_separate else parts[0]


class TunedIndex:
    """Exact search in features [G, D] whose lists may be fused from the searches of several parts, or re-ranked.

    It has the interface of `SearchIndex`; scores are the cosines of the complete features.

    Args:
        vectors: The features of the images in `items`.
        dims: Widths of the parts to search separately and to fuse by rank; one width means a single search.
        weights: Weights of the parts in the fusion.
        reciprocity: Settings of the re-ranking; None for none.
    """

    factory = "tuned"
    exact = True

    def __init__(
        self,
        vectors: Tensor,
        items: ItemTable,
        *,
        dims: Sequence[int] = (),
        weights: Sequence[float] = (),
        reciprocity: Reciprocity | None = None,
    ) -> None:
        self.vectors, self.items = l2_normalize(vectors).float().cpu(), items
        self.dims, self.weights = list(dims) or [vectors.shape[1]], list(weights) or [1.0]
        self.reranker = None if reciprocity is None else Reranker(self.vectors, reciprocity)

    @property
    def reorders(self) -> bool:
        """True if the order of neighbors is not that of their scores."""
        return self.reranker is not None or len(self.dims) > 1

    def query(self, features: Tensor, k: int) -> Neighbors:
        """Find the `k` items nearest to each row of features [Q, D]; see `SearchIndex.query`."""
        queries = l2_normalize(features).float().cpu()
        if not self.reorders:
            return Neighbors(*nearest(queries, self.vectors, k))
        depth = max(k, LIST_DEPTH)
        if len(self.dims) > 1:
            parts = zip(queries.split(self.dims, 1), self.vectors.split(self.dims, 1), strict=True)
            lists = [nearest(l2_normalize(asked), l2_normalize(among), depth)[1] for asked, among in parts]
            found = fuse_ranks(lists, self.weights)[1][:, :depth]
        else:
            found = nearest(queries, self.vectors, depth)[1]
        if self.reranker is not None:
            first = self.reranker.rerank(queries, found[:, :LIST_DEPTH])[1]
            found = torch.cat([first, found[:, LIST_DEPTH:]], dim=1)
        found = found[:, :k]
        scores = torch.stack(
            [query @ self.vectors[row.clamp(min=0)].T for query, row in zip(queries, found, strict=True)]
        )
        return Neighbors(scores.masked_fill(found < 0, -torch.inf), found)
