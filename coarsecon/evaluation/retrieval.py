"""Retrieval within one set of images: Recall@k, mAP@R and R-precision, each query against all the others."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.search.exact import nearest, unit

RECALL_KS = (1, 2, 5, 10, 50, 100)

QUERIES_AT_ONCE = 4096
NEIGHBOURS_AT_ONCE = 2**22
"""How much of the matrix of neighbours is held at one time: at most so many rows, and so many entries."""


def retrieval_metrics(features: Tensor, labels: Tensor, ks: Sequence[int] = RECALL_KS) -> dict[str, float | int]:
    """All metrics in one search: the keys "recall@1" ..., "map@r", "r_precision", "queries" and "classes".

    features [N, D], normalised here; labels [N] integers, -1 where unknown: such an item is no query, yet it
    stays in the gallery. Each query searches all items but itself by cosine (MaskCon's protocol).

    - recall@k: the share of queries with an item of their class among the k nearest. A query that is alone
      in its class counts as a miss, as in MaskCon.
    - With R the number of other items in the query's class: r_precision is the share of the R nearest that
      are of the class; map@r sums the precision at the rank of each of those and divides by R. Both are
      means over the queries that are not alone in their class, 0 when all are (Musgrave et al., "A Metric
      Learning Reality Check", 2020).

    "queries" and "classes" count what is behind the numbers. Raises InputError when no item has a label.
    """
    scores = query_scores(features, labels, ks)
    known = torch.as_tensor(labels)
    known = known[known >= 0]
    return {
        **{name: _mean(values) for name, values in scores.items()},
        "queries": len(known),
        "classes": len(known.unique()),
    }


def query_scores(features: Tensor, labels: Tensor, ks: Sequence[int] = RECALL_KS) -> dict[str, Tensor]:
    """What `retrieval_metrics` averages: float32 [Q] on the CPU of each metric, for the Q labelled items in their order.

    NaN where a query does not count for the metric: "map@r" and "r_precision" of items that are alone in their class.
    """
    features, labels = _checked(features, labels)
    parts: dict[str, list[Tensor]] = {name: [] for name in (*(f"recall@{k}" for k in ks), "map@r", "r_precision")}
    order = []
    for rows, hits, relevant in _ranked_hits(features, labels, max(ks, default=0), through_r=True):
        order.append(rows.cpu())
        for k in ks:
            parts[f"recall@{k}"].append(hits[:, :k].any(1).float().cpu())
        ranks = torch.arange(1, hits.shape[1] + 1, device=hits.device)
        hits = hits & (ranks <= relevant[:, None])
        alone = torch.where(relevant > 0, 0, float("nan"))
        precision = hits.cumsum(1) / ranks
        parts["map@r"].append(((precision * hits).sum(1) / relevant + alone).cpu())
        parts["r_precision"].append((hits.sum(1) / relevant + alone).cpu())
    place = torch.cat(order).argsort()
    return {name: torch.cat(values)[place] for name, values in parts.items()}


def recall_at_k(features: Tensor, labels: Tensor, ks: Sequence[int]) -> dict[int, float]:
    """The recall of `retrieval_metrics` at each k of `ks`, in a search no deeper than the largest of them."""
    features, labels = _checked(features, labels)
    recalled = dict.fromkeys(ks, 0)
    for _, hits, _ in _ranked_hits(features, labels, max(ks), through_r=False):
        for k in recalled:
            recalled[k] += int(hits[:, :k].any(1).sum())
    return {k: count / int((labels >= 0).sum()) for k, count in recalled.items()}


def map_at_r(features: Tensor, labels: Tensor) -> float:
    """The mAP@R of `retrieval_metrics`."""
    return retrieval_metrics(features, labels, ks=())["map@r"]


def r_precision(features: Tensor, labels: Tensor) -> float:
    """The R-precision of `retrieval_metrics`."""
    return retrieval_metrics(features, labels, ks=())["r_precision"]


def _checked(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Both as tensors on one device, the features L2-normalised."""
    features = unit(features)
    labels = torch.as_tensor(labels, device=features.device)
    if len(features) != len(labels):
        raise InputError(f"{len(features)} features but {len(labels)} labels: each feature needs one label")
    if not (labels >= 0).any():
        raise InputError("no item has a label, so retrieval cannot be measured: label some of the images")
    return features, labels


def _ranked_hits(
    features: Tensor, labels: Tensor, depth: int, *, through_r: bool
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Chunks of labelled items [B]: hits [B, k] bool, which of an item's nearest are of its class, and its R [B].

    k is at least `depth`, and at least R where `through_r` (never more than there are other items).
    """
    queries = (labels >= 0).nonzero().flatten()
    _, classes, counts = labels[queries].unique(return_inverse=True, return_counts=True)
    relevant = counts[classes] - 1
    # Large classes first: the rows of one chunk then need about the same depth, which its first row tells.
    order = relevant.argsort(descending=True)
    queries, relevant = queries[order], relevant[order]
    start = 0
    while start < len(queries):
        k = max(depth, int(relevant[start])) if through_r else depth
        stop = start + min(QUERIES_AT_ONCE, max(1, NEIGHBOURS_AT_ONCE // max(1, k)))
        rows = queries[start:stop]
        _, neighbours = nearest(features[rows], features, k, exclude=rows)
        yield rows, labels[neighbours] == labels[rows, None], relevant[start:stop]
        start = stop


def _mean(scores: Tensor) -> float:
    """The mean over the queries that count, 0 when none does."""
    counting = scores[~scores.isnan()].double()
    return float(counting.mean()) if len(counting) else 0.0
