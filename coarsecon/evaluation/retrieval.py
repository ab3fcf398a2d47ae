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
    features, labels = _checked(features, labels)
    recalled = dict.fromkeys(ks, 0)
    average_precision, precision_at_r = [], []
    for hits, relevant in _ranked_hits(features, labels, max(ks, default=0), through_r=True):
        _count_recalled(recalled, hits)
        paired = relevant > 0
        hits, relevant = hits[paired], relevant[paired, None]
        ranks = torch.arange(1, hits.shape[1] + 1, device=hits.device)
        hits = hits & (ranks <= relevant)
        precision = hits.cumsum(1) / ranks
        average_precision.append((precision * hits / relevant).sum(1).cpu())
        precision_at_r.append((hits / relevant).sum(1).cpu())
    known = labels[labels >= 0]
    return {
        **{f"recall@{k}": count / len(known) for k, count in recalled.items()},
        "map@r": _mean(average_precision),
        "r_precision": _mean(precision_at_r),
        "queries": len(known),
        "classes": len(known.unique()),
    }


def recall_at_k(features: Tensor, labels: Tensor, ks: Sequence[int]) -> dict[int, float]:
    """The recall of `retrieval_metrics` at each k of `ks`, in a search no deeper than the largest of them."""
    features, labels = _checked(features, labels)
    recalled = dict.fromkeys(ks, 0)
    for hits, _ in _ranked_hits(features, labels, max(ks), through_r=False):
        _count_recalled(recalled, hits)
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


def _ranked_hits(features: Tensor, labels: Tensor, depth: int, *, through_r: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunks of labelled items: hits [B, k] bool, which of an item's nearest are of its class, and its R [B].

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
        yield labels[neighbours] == labels[rows, None], relevant[start:stop]
        start = stop


def _count_recalled(recalled: dict[int, int], hits: Tensor) -> None:
    for k in recalled:
        recalled[k] += int(hits[:, :k].any(1).sum())


def _mean(chunks: list[Tensor]) -> float:
    values = torch.cat(chunks).double()
    return float(values.mean()) if len(values) else 0.0
