"""Recall from lists of neighbors, whatever ordered them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from coarsecon.metrics.ranks import UNRANKED, listed_ranks
from coarsecon.search.exact import tie_tolerance
from coarsecon.search.index import Neighbors


def order_scores(found: Neighbors) -> Tensor:
    """Return scores [Q, K] that descend along lists that are not in the order of their cosines; -inf where one ends."""
    places = -torch.arange(found.indices.shape[1], dtype=torch.float32).expand(found.indices.shape)
    return places.masked_fill(found.indices < 0, -torch.inf)


def listed_recall(
    scores: Tensor, indices: Tensor, labels: tuple[Tensor, Tensor], ks: Sequence[int]
) -> dict[str, Tensor]:
    """Compute recall@k of each query from its list; NaN for a query without a label.

    Equal scores put items of other classes first; where a list is too short to decide, the query is a miss.

    Args:
        scores: Scores [Q, K], descending; -inf where a list ends.
        indices: Gallery items [Q, K].
        labels: Labels of the queries [Q] and of the gallery [G]; -1 is unknown.
        ks: Values of k, below K.
    """
    asked, among = labels
    hits = (among[indices.clamp(min=0)] == asked[:, None]) & (indices >= 0)
    best = scores.masked_fill(~hits, -torch.inf).amax(1)
    is_undecided = best - tie_tolerance(scores.dtype) <= scores[:, -1]
    first = listed_ranks(scores, hits)[0][:, 0].masked_fill(is_undecided, UNRANKED)
    return {f"recall@{k}": (first <= k).float().where(asked >= 0, torch.nan) for k in ks}


def recall_within(
    scores: Tensor,
    indices: Tensor,
    labels: tuple[Tensor, Tensor],
    groups: tuple[Tensor, Tensor],
    nearest_of: Tensor,
) -> Tensor:
    """Compute recall@1 of each query among the items of its group; NaN for a query without a label or group.

    The order is that of the list. A query whose list has no item of its group finds `nearest_of` [Q] instead, an index,
    or -1 where the gallery has none.
    """
    same = (groups[1][indices.clamp(min=0)] == groups[0][:, None]) & (indices >= 0)
    own, order = scores.masked_fill(~same, -torch.inf).sort(dim=1, descending=True, stable=True)
    found = listed_recall(own, indices.gather(1, order).masked_fill(own.isneginf(), -1), labels, [1])["recall@1"]
    other = (nearest_of >= 0) & (labels[1][nearest_of.clamp(min=0)] == labels[0])
    values = torch.where(same.any(1), found, other.float())
    return values.where((labels[0] >= 0) & (groups[0] >= 0), torch.nan)
