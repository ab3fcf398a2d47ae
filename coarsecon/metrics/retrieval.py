"""Retrieval by cosine: Recall@k, precision@k, mAP@R and R-precision, within a set of images or across two sets."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.metrics.query_ranks import LabelPairs, Search, query_ranks
from coarsecon.runtime.progress import Progress

RECALL_KS = (1, 2, 5, 10, 50, 100)

MetricValues = dict[str, Tensor]
"""Value [Q] of each metric for each query, NaN where the query does not count."""


def retrieval_values(
    search: Search, labels: LabelPairs, ks: Sequence[int] = RECALL_KS, progress: Progress = Progress()
) -> dict[str, MetricValues]:
    """Compute every metric of every query at each level of `labels` from one search; see `retrieval_metrics`.

    Args:
        progress: Advanced by the queries with a label at some level.
    """
    labels = {level: _on(search.gallery.device, pair) for level, pair in labels.items()}
    relevant = {level: relevant_counts(search.own, *pair) for level, pair in labels.items()}
    least = max([1, *ks])
    depth = {level: torch.where(labels[level][0] >= 0, count.clamp(min=least), 0) for level, count in relevant.items()}
    names = [f"{name}@{k}" for name in ("recall", "precision") for k in ks] + ["map@r", "r_precision"]
    values = {level: {name: torch.full((len(search.queries),), torch.nan) for name in names} for level in labels}
    for level, rows, ranks in query_ranks(search, labels, depth, progress):
        for name, value in _metrics(ranks, relevant[level][rows, None], ks).items():
            values[level][name][rows.cpu()] = value.cpu().float()
    return values


def values_within(
    search: Search,
    labels: tuple[Tensor, Tensor],
    groups: tuple[Tensor, Tensor],
    ks: Sequence[int] = RECALL_KS,
    progress: Progress = Progress(),
) -> MetricValues:
    """Compute every metric of every query with a search restricted to the gallery items of its group.

    Also computes "chance", the fraction of the query's class in what it searches: the precision of a random order.

    Args:
        labels: Labels of queries and gallery, as in `LabelPairs`.
        groups: Groups of queries and gallery; a query without a group (-1) does not count.
    """
    labels, groups = _on(search.gallery.device, labels), _on(search.gallery.device, groups)
    count = len(search.queries)
    parts: MetricValues = {}
    for group in groups[0][(groups[0] >= 0) & (labels[0] >= 0)].unique():
        asked, among = (groups[0] == group).nonzero().flatten(), (groups[1] == group).nonzero().flatten()
        part, pair = search.within(asked, among), (labels[0][asked], labels[1][among])
        found = retrieval_values(part, {"": pair}, ks, progress)[""]
        searched = (len(among) - (part.own >= 0).long()).clamp(min=1)
        found["chance"] = (relevant_counts(part.own, *pair) / searched).where(pair[0] >= 0, torch.nan).cpu()
        for name, value in found.items():
            parts.setdefault(name, torch.full((count,), torch.nan))[asked.cpu()] = value
    return parts


def hits_at_1(search: Search, labels: LabelPairs) -> dict[str, Tensor]:
    """Return Recall@1 of each query [Q] at each level of `labels`, NaN where its class is unknown."""
    labels = {level: _on(search.gallery.device, pair) for level, pair in labels.items()}
    hits = {level: torch.full((len(search.queries),), torch.nan) for level in labels}
    depth = {level: torch.where(asked < 0, 0, 1) for level, (asked, _) in labels.items()}
    for level, rows, ranks in query_ranks(search, labels, depth):
        hits[level][rows.cpu()] = (ranks[:, 0] <= 1).float().cpu()
    return hits


def hits_within(search: Search, labels: tuple[Tensor, Tensor], groups: tuple[Tensor, Tensor]) -> Tensor:
    """Return Recall@1 of each query [Q] among the gallery items of its group.

    It is NaN where the class or the group is unknown, and where the group has fewer than two classes in the gallery.
    """
    hits = torch.full((len(search.queries),), torch.nan)
    counted = with_several_classes(labels, groups) & (labels[0] >= 0)
    for group in groups[0][counted].unique():
        asked, among = (counted & (groups[0] == group)).nonzero().flatten(), (groups[1] == group).nonzero().flatten()
        part = search.within(asked.to(search.gallery.device), among.to(search.gallery.device))
        hits[asked] = hits_at_1(part, {"": (labels[0][asked], labels[1][among])})[""]
    return hits


def with_several_classes(labels: tuple[Tensor, Tensor], groups: tuple[Tensor, Tensor]) -> Tensor:
    """Return a mask [Q] of the queries whose group has at least two classes in the gallery."""
    known = (labels[1] >= 0) & (groups[1] >= 0)
    pairs = torch.stack([groups[1][known], labels[1][known]]).unique(dim=1)
    found, counts = pairs[0].unique(return_counts=True)
    return torch.isin(groups[0], found[counts >= 2])


def summary(values: MetricValues, labels: Tensor, chosen: Tensor | None = None) -> dict[str, float | int]:
    """Average each metric over the queries that count, of those `chosen` [Q] if given; 0 if there are none.

    Adds the numbers of "queries" and "classes".
    """
    known = (labels >= 0).cpu() if chosen is None else ((labels >= 0) & chosen).cpu()
    counted = {name: value[known & ~value.isnan()].double() for name, value in values.items()}
    return {
        **{name: float(value.mean()) if len(value) else 0.0 for name, value in counted.items()},
        "queries": int(known.sum()),
        "classes": len(labels.cpu()[known].unique()),
    }


def by_group(
    values: Mapping[str, MetricValues], labels: Tensor, groups: Tensor, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Compute `summary` of each kind of `values` for the queries of each group [Q] (-1: none), the worst group first.

    Each row has the "name" of its group from `names`. Groups are ordered by Recall@1, then mAP@R, of the last kind.
    """
    rows = [
        {"name": names[group], **{kind: summary(found, labels, groups == group) for kind, found in values.items()}}
        for group in groups[(groups >= 0) & (labels >= 0)].unique().tolist()
    ]
    last = list(values)[-1]
    return sorted(rows, key=lambda row: (row[last].get("recall@1", 0), row[last]["map@r"]))


def retrieval_metrics(features: Tensor, labels: Tensor, ks: Sequence[int] = RECALL_KS) -> dict[str, float | int]:
    """Compute all retrieval metrics from one search of each item among all others (protocol of MaskCon).

    - recall@k: fraction of queries with an item of their class among the k nearest. precision@k: mean fraction of their
      class among the k nearest. A query without another item of its class counts as a miss, as in MaskCon.
    - With R the number of other items in the query's class, r_precision is the fraction of the R nearest that are of
      the class; map@r sums the precision at the rank of each of these and divides by R. Both are means over the queries
      whose class has other items (Musgrave et al., "A Metric Learning Reality Check", 2020).

    Args:
        features: Features [N, D], normalized here.
        labels: Integers [N]; an item with -1 (unknown) is not a query but stays in the gallery.

    Returns:
        "recall@1", ..., "precision@1", ..., "map@r", "r_precision", and the counts "queries" and "classes".

    Raises:
        InputError: No item has a label.
    """
    search, labels = _checked(features, labels)
    return summary(retrieval_values(search, {"": (labels, labels)}, ks)[""], labels)


def recall_at_k(features: Tensor, labels: Tensor, ks: Sequence[int]) -> dict[int, float]:
    """Compute Recall@k for each k, in a search no deeper than the largest; see `retrieval_metrics`."""
    search, labels = _checked(features, labels)
    recalled = dict.fromkeys(ks, 0)
    depth = torch.where(labels < 0, 0, max(ks))
    for _, _, ranks in query_ranks(search, {"": (labels, labels)}, {"": depth}):
        for k in ks:
            recalled[k] += int((ranks[:, 0] <= k).sum())
    return {k: count / int((labels >= 0).sum()) for k, count in recalled.items()}


def map_at_r(features: Tensor, labels: Tensor) -> float:
    """Compute mAP@R; see `retrieval_metrics`."""
    return retrieval_metrics(features, labels, ks=())["map@r"]


def r_precision(features: Tensor, labels: Tensor) -> float:
    """Compute R-precision; see `retrieval_metrics`."""
    return retrieval_metrics(features, labels, ks=())["r_precision"]


def _checked(features: Tensor, labels: Tensor) -> tuple[Search, Tensor]:
    search = Search.among(features)
    labels = torch.as_tensor(labels, device=search.gallery.device)
    if len(search.gallery) != len(labels):
        raise InputError("labels", f"there are {len(labels)} for {len(search.gallery)} features")
    if not (labels >= 0).any():
        raise InputError("labels", "no image has one", "label some images to evaluate retrieval")
    return search, labels


def _on(device: torch.device, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return pair[0].to(device), pair[1].to(device)


def relevant_counts(own: Tensor, of_queries: Tensor, of_gallery: Tensor) -> Tensor:
    """Return R [Q], the number of gallery items of each query's class except itself; 0 where the class is unknown."""
    classes, counts = of_gallery[of_gallery >= 0].unique(return_counts=True)
    if not len(classes):
        return torch.zeros_like(own)
    place = torch.searchsorted(classes, of_queries).clamp(max=len(classes) - 1)
    found = torch.where(classes[place] == of_queries, counts[place], 0)
    return found - ((own >= 0) & (of_gallery[own] == of_queries) & (of_queries >= 0)).long()


def _metrics(ranks: Tensor, relevant: Tensor, ks: Sequence[int]) -> MetricValues:
    """Compute the metrics [B] from the ranks [B, m] of `relevant` [B, 1] items of a class, best first."""
    place = torch.arange(1, ranks.shape[1] + 1, device=ranks.device)
    hits = ranks <= relevant
    return {
        **{f"recall@{k}": (ranks[:, 0] <= k).float() for k in ks},
        **{f"precision@{k}": (ranks <= k).sum(1) / k for k in ks},
        "map@r": (place / ranks * hits / relevant).sum(1),  # 0 / 0, not a number, where there is nothing to find
        "r_precision": (hits / relevant).sum(1),
    }
