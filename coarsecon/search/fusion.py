"""Combine the features, or the lists of neighbors, of several encoders."""

from collections.abc import Sequence

import torch
from torch import Tensor

from coarsecon.search.exact import l2_normalize

RANK_OFFSET = 60
"""Constant k of reciprocal rank fusion, as in the paper."""


def concatenate(features: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Concatenate features [N, D_i], each L2-normalized and multiplied by its weight, and normalize the result.

    The cosine of two results is the mean of the cosines of the parts, weighted by the squares of the weights.
    """
    scaled = [weight * l2_normalize(part) for part, weight in zip(features, weights, strict=True)]
    return l2_normalize(torch.cat(scaled, dim=1))


def fuse_ranks(lists: Sequence[Tensor], weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Fuse ranked lists by reciprocal ranks: an item's score is the sum of weight / (60 + rank) over the lists.

    Source: Cormack, Clarke & Büttcher, "Reciprocal Rank Fusion outperforms Condorcet", SIGIR 2009.

    Args:
        lists: For each encoder the indices [Q, k] of the nearest items, best first; -1 where a list ends.
        weights: The weight of each list.

    Returns:
        Scores [Q, m], descending, and indices [Q, m] of all items in the lists, m = k times the number of lists. Rows
        with fewer items end with score 0 and index -1.
    """
    indices = torch.cat(list(lists), dim=1)
    scores = [
        (weight / (RANK_OFFSET + torch.arange(1, found.shape[1] + 1, device=found.device))).expand(found.shape)
        for found, weight in zip(lists, weights, strict=True)
    ]
    order = indices.argsort(dim=1, stable=True)
    indices, gained = indices.gather(1, order), torch.cat(scores, dim=1).gather(1, order)
    is_first = torch.ones_like(indices, dtype=torch.bool)
    is_first[:, 1:] = indices[:, 1:] != indices[:, :-1]
    totals = torch.zeros_like(gained).scatter_add(1, is_first.cumsum(1) - 1, gained)  # one place per different item
    items = torch.full_like(indices, -1).scatter(1, is_first.cumsum(1) - 1, indices)
    totals = torch.where(items >= 0, totals, 0)
    best = totals.argsort(dim=1, descending=True, stable=True)
    return totals.gather(1, best), items.gather(1, best)
