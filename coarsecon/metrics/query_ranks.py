"""Ranks of the items of each query's class in a gallery, in bounded memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.metrics.ranks import largest, listed_ranks, member_ranks
from coarsecon.runtime.progress import Progress
from coarsecon.search.exact import SCORES_AT_ONCE, l2_normalize, nearest, nearest_others, products

LARGE_DEPTH = 256
"""Search depth from which ranks are computed from all scores instead of a list of neighbors."""

QUERIES_AT_ONCE = 4096
NEIGHBORS_AT_ONCE = 2**22
"""Rows and entries of the matrix of neighbors held in memory at a time, at most."""

NEIGHBORS_AMONG = 2**24
"""Entries of that matrix up to which a symmetric search, with half the products, holds it completely (192 MiB)."""

LabelPairs = Mapping[str, tuple[Tensor, Tensor]]
"""Labels of queries [Q] and gallery [G] at each level, -1 where unknown; equal numbers are the same class."""


@dataclass(frozen=True)
class Search:
    """Queries [Q, D] that search a gallery [G, D], both L2-normalized.

    `own` [Q] is the index of each query in the gallery, or -1. A query does not find itself: it is excluded by
    identity, not by rank, so that its duplicates may be found.
    """

    queries: Tensor
    gallery: Tensor
    own: Tensor

    @classmethod
    def among(cls, features: Tensor) -> "Search":
        """Search each of features [N, D], normalized here, among all others (protocol of MaskCon)."""
        features = l2_normalize(features)
        return cls(features, features, torch.arange(len(features), device=features.device))

    @property
    def is_mutual(self) -> bool:
        """True if each gallery item is a query that does not find itself."""
        places = torch.arange(len(self.gallery), device=self.own.device)
        return self.queries is self.gallery and torch.equal(self.own, places)

    def within(self, queries: Tensor, gallery: Tensor) -> "Search":
        """Restrict the search to the queries and the gallery items at some indices."""
        place = torch.full((len(self.gallery) + 1,), -1, device=gallery.device)  # the last is that of own = -1
        place[gallery] = torch.arange(len(gallery), device=gallery.device)
        among = self.gallery[gallery]
        mutual = self.queries is self.gallery and torch.equal(queries, gallery)
        return Search(among if mutual else self.queries[queries], among, place[self.own[queries]])


def query_ranks(
    search: Search, labels: LabelPairs, depth: Mapping[str, Tensor], progress: Progress = Progress()
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield (level, queries [B], ranks [B, m]), each query once at each level where its depth is above 0.

    The ranks, from 1, are those of the items of the query's class, best first, as in `ranks`. They are exact up to the
    query's `depth` [Q], and larger than the depth for all other items.

    Args:
        progress: Advanced by each query that is done at all levels.
    """
    most = max(1, len(search.gallery))
    depth = {level: needed.clamp(max=most) for level, needed in depth.items()}
    ranked = {level: needed >= LARGE_DEPTH for level, needed in depth.items()}
    listed = {level: (needed > 0) & ~ranked[level] for level, needed in depth.items()}
    wanted = torch.stack([torch.where(listed[level], depth[level], 0) for level in labels]).amax(0)
    for rows, scores, found in _neighbors(search, wanted):
        for level, (of_queries, of_gallery) in labels.items():
            here = listed[level][rows]
            queries = rows[here]
            if not len(queries):
                continue
            width = int(depth[level][queries].max()) + 1
            classes = F.pad(of_gallery, (0, 1), value=-1)[found[here, :width]]  # the last is that of index -1
            ranks, undecided = listed_ranks(scores[here, :width], classes == of_queries[queries, None])
            ranked[level][queries[undecided]] = True
            yield level, queries[~undecided], ranks[~undecided]
        progress.advance(int((~torch.stack([again[rows] for again in ranked.values()]).any(0)).sum()))
    classes = torch.stack([torch.where(ranked[level], of_queries, -1) for level, (of_queries, _) in labels.items()])
    for rows, scores in _scored(search, classes):
        levels = [level for level in labels if ranked[level][rows[0]]]
        top = largest(scores, max(int(depth[level][rows].max()) for level in levels))
        for level in levels:
            of_queries, of_gallery = labels[level]
            members = (of_gallery == of_queries[rows[0]]).nonzero().flatten()
            yield level, rows, member_ranks(scores, members, top)
        progress.advance(len(rows))


def _neighbors(search: Search, depth: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield chunks of queries [B] with the scores and indices [B, k] of `depth` [Q] + 1 nearest items.

    Missing items have score -inf and index -1. Queries of depth 0 are left out.
    """
    # The deepest first, so that the rows of a chunk need about the depth of its first row.
    queries = depth.argsort(descending=True)[: int((depth > 0).sum())]
    deepest = int(depth.max()) + 1 if len(queries) else 0
    if 2 * len(queries) > len(depth) and len(depth) * deepest <= NEIGHBORS_AMONG and search.is_mutual:
        scores, indices = nearest_others(search.gallery, deepest)
        for rows in queries.split(max(1, NEIGHBORS_AT_ONCE // deepest)):
            yield rows, *_ended(scores[rows], indices[rows], deepest)
        return
    start = 0
    while start < len(queries):
        k = int(depth[queries[start]]) + 1
        rows = queries[start : start + min(QUERIES_AT_ONCE, max(1, NEIGHBORS_AT_ONCE // k))]
        yield rows, *_ended(*nearest(search.queries[rows], search.gallery, k, exclude=search.own[rows]), k)
        start += len(rows)


def _ended(scores: Tensor, indices: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Pad scores and indices of neighbors to `k` columns."""
    missing = k - scores.shape[1]
    return F.pad(scores, (0, missing), value=-torch.inf), F.pad(indices, (0, missing), value=-1)


def _scored(search: Search, classes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield chunks of queries with equal `classes` [L, Q]: their indices [B] and scores [B, G], with their own at -inf.

    Queries that are -1 in all of them are left out.
    """
    kinds, kind = classes.unique(dim=1, return_inverse=True)
    for number in (kinds >= 0).any(0).nonzero().flatten():
        for rows in (kind == number).nonzero().flatten().split(max(1, SCORES_AT_ONCE // len(search.gallery))):
            scores = products(search.queries[rows], search.gallery)
            found = (search.own[rows] >= 0).nonzero().flatten()
            scores[found, search.own[rows[found]]] = -torch.inf
            yield rows, scores
