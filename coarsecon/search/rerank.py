"""k-reciprocal re-ranking of lists of neighbors.

Source: Zhong, Zheng, Cao & Li, "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017. The paper
encodes the gallery and all queries together, which a search for a single image cannot. Here each query is encoded in
the gallery without the other queries, and the encodings of the gallery are computed once, without queries.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from coarsecon.search.exact import l2_normalize, nearest, nearest_others

PAIRS_AT_ONCE = 2**18
"""Pairs of features whose cosines are computed at a time."""

QUERIES_AT_ONCE = 1024

Sparse = Any
"""A SciPy sparse matrix."""


class Reciprocity(NamedTuple):
    """Settings of k-reciprocal re-ranking, named as in the paper: k1, k2, and lambda (`weight`).

    The distance is `weight` times the original one, 1 - cosine, plus 1 - `weight` times the Jaccard distance.
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3


class Reranker:
    """Re-rank lists of neighbors in a gallery of features [G, D].

    N(p, k) is p with its k nearest others, and R(p, k) those of N(p, k) that have p among theirs. R*(p, k) adds to it
    R(g, k / 2) for each g in R(p, k) with at least two thirds of R(g, k / 2) in R(p, k). The encoding of p is
    exp(-d(p, g)) for each gallery item g in R*(p, k1), else 0, averaged over p and its k2 - 1 nearest. The Jaccard
    distance of p and g is 1 - (sum of minima) / (sum of maxima) of their encodings.
    """

    def __init__(self, gallery: Tensor, settings: Reciprocity = Reciprocity()) -> None:
        self.gallery, self.settings = l2_normalize(gallery).float().cpu(), settings
        count = len(self.gallery)
        k1 = min(settings.k1, count - 1)
        scores, found = nearest_others(self.gallery, k1)
        self._farthest = scores[:, -1].numpy() if k1 else np.full(count, -np.inf, np.float32)
        lists = torch.cat([torch.arange(count)[:, None], found], dim=1)
        within, half = self._adjacency(lists), self._adjacency(lists[:, : round(settings.k1 / 2) + 1])
        self._half = half.multiply(half.T).tocsr()
        self._encodings = self._encoded(self.gallery, within.multiply(within.T).tocsr())
        near = self._adjacency(lists[:, : settings.k2])
        self._averaged = ((near @ self._encodings) / min(settings.k2, k1 + 1)).tocsr()
        self._totals = np.asarray(self._averaged.sum(axis=1)).ravel()

    def rerank(self, queries: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Sort lists of neighbors by the re-ranked distance.

        Args:
            queries: Features [Q, D] of queries, which are encoded as if they were not in the gallery.
            indices: Their nearest items [Q, L]; -1 where a list ends.

        Returns:
            Distances [Q, L], ascending, and items [Q, L]; distance inf and index -1 where a list ends.
        """
        queries, indices = l2_normalize(queries).float().cpu(), indices.cpu()
        pieces = zip(queries.split(QUERIES_AT_ONCE), indices.split(QUERIES_AT_ONCE), strict=True)
        distances = torch.cat([self._distances(*piece) for piece in pieces])
        order = distances.argsort(dim=1, stable=True)
        return distances.gather(1, order), indices.gather(1, order)

    def _distances(self, queries: Tensor, items: Tensor) -> Tensor:
        """Return the distances [Q, L] of queries and items."""
        encodings = self._query_encodings(queries)
        totals = np.asarray(encodings.sum(axis=1)).ravel()
        jaccard = np.ones(items.shape)
        row = np.zeros(len(self.gallery))
        for query, found in enumerate(items.numpy()):
            own = slice(encodings.indptr[query], encodings.indptr[query + 1])
            row[encodings.indices[own]] = encodings.data[own]
            among = self._averaged[found.clip(min=0)]
            least = np.add.reduceat(np.minimum(among.data, row[among.indices]), among.indptr[:-1])
            jaccard[query] = 1 - least / (totals[query] + self._totals[found.clip(min=0)] - least)
            row[encodings.indices[own]] = 0
        cosines = torch.einsum("qd,qld->ql", queries, self.gallery[items.clamp(min=0)])
        weight = self.settings.weight
        distances = weight * (1 - cosines) + (1 - weight) * torch.from_numpy(jaccard)
        return distances.masked_fill(items < 0, torch.inf)

    def _query_encodings(self, queries: Tensor) -> Sparse:
        """Return the averaged encodings [Q, G] of queries."""
        scores, found = nearest(queries, self.gallery, self.settings.k1)
        is_mutual = scores.numpy() >= self._farthest[found.numpy()]
        encodings = self._encoded(queries, self._adjacency(found, is_mutual))
        near = found[:, : self.settings.k2 - 1]
        return ((encodings + self._adjacency(near) @ self._encodings) / (near.shape[1] + 1)).tocsr()

    def _encoded(self, features: Tensor, reciprocal: Sparse) -> Sparse:
        """Return encodings [N, G] from R [N, G]: R expanded to R*, with exp(-d) in place of each 1."""
        common = (reciprocal @ self._half.T).multiply(reciprocal).tocsr()
        sizes = np.asarray(self._half.sum(axis=1)).ravel()
        common.data = np.where(3 * common.data >= 2 * sizes[common.indices], 1.0, 0.0)
        expanded = (reciprocal + common @ self._half).tocoo()
        kept = expanded.data > 0
        rows, columns = torch.from_numpy(expanded.row[kept]).long(), torch.from_numpy(expanded.col[kept]).long()
        pieces = zip(rows.split(PAIRS_AT_ONCE), columns.split(PAIRS_AT_ONCE), strict=True)
        cosines = [(features[row] * self.gallery[column]).sum(1).double() for row, column in pieces]
        values = torch.exp(torch.cat([torch.zeros(0, dtype=torch.float64), *cosines]) - 1)
        return sparse.csr_array((values.numpy(), (rows.numpy(), columns.numpy())), shape=reciprocal.shape)

    def _adjacency(self, lists: Tensor, kept: np.ndarray | None = None) -> Sparse:
        """Return a matrix [N, G] with 1 for each item in lists [N, k], or for those `kept` [N, k]."""
        rows = np.arange(len(lists)).repeat(lists.shape[1])
        ones = np.ones(lists.shape).ravel() if kept is None else kept.ravel().astype(np.float64)
        shape = len(lists), len(self.gallery)
        found = sparse.csr_array((ones, (rows, lists.numpy().ravel())), shape=shape)
        found.eliminate_zeros()
        return found
