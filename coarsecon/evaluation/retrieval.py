"""Retrieval by cosine: Recall@k, precision@k, mAP@R and R-precision, within a set of images or from one in another."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.evaluation.ranks import class_ranks, largest
from coarsecon.reporting import Progress
from coarsecon.search.exact import SCORES_AT_ONCE, nearest, nearest_others, unit

RECALL_KS = (1, 2, 5, 10, 50, 100)

LARGE_CLASS = 256
"""From so many items of a class on, their ranks are computed instead of a list of as many neighbours."""

QUERIES_AT_ONCE = 4096
NEIGHBOURS_AT_ONCE = 2**22
"""How much of the matrix of neighbours is held at one time: at most so many rows, and so many entries."""

NEIGHBOURS_AMONG = 2**24
"""Entries of that matrix up to which it is held whole, 192 MiB with scores, where it then costs half the products."""

Values = dict[str, Tensor]
"""A value [Q] of each metric for each query, NaN where the query does not count."""

Pairs = Mapping[str, tuple[Tensor, Tensor]]
"""Labels of queries [Q] and gallery [G] at each level, -1 where unknown; equal numbers are the same class."""


@dataclass(frozen=True)
class Search:
    """Queries [Q, D] that search a gallery [G, D], L2-normalised both; `own` [Q] is each one's place there, or -1.

    A query does not find itself: it is left out by identity, never by rank, so that its duplicate may be found.
    """

    queries: Tensor
    gallery: Tensor
    own: Tensor

    @classmethod
    def among(cls, features: Tensor) -> "Search":
        """Each of features [N, D], normalised here, among all the others (MaskCon's protocol)."""
        features = unit(features)
        return cls(features, features, torch.arange(len(features), device=features.device))

    @property
    def is_mutual(self) -> bool:
        """Whether each gallery item is a query that does not find itself."""
        places = torch.arange(len(self.gallery), device=self.own.device)
        return self.queries is self.gallery and torch.equal(self.own, places)

    def within(self, queries: Tensor, gallery: Tensor) -> "Search":
        """The queries at some indices, among the gallery items at others."""
        place = torch.full((len(self.gallery) + 1,), -1, device=gallery.device)  # the last is that of own = -1
        place[gallery] = torch.arange(len(gallery), device=gallery.device)
        among = self.gallery[gallery]
        mutual = self.queries is self.gallery and torch.equal(queries, gallery)
        return Search(among if mutual else self.queries[queries], among, place[self.own[queries]])


def retrieval_values(
    search: Search, labels: Pairs, ks: Sequence[int] = RECALL_KS, progress: Progress = Progress()
) -> dict[str, Values]:
    """Every metric of every query at each level of `labels`, from one search; see `retrieval_metrics`.

    `progress` counts the queries with a label at some level, each when it is done.
    """
    labels = {level: _on(search.gallery.device, pair) for level, pair in labels.items()}
    relevant = {level: _relevant(search.own, *pair) for level, pair in labels.items()}
    names = [f"{name}@{k}" for name in ("recall", "precision") for k in ks] + ["map@r", "r_precision"]
    values = {level: {name: torch.full((len(search.queries),), torch.nan) for name in names} for level in labels}
    listed = {level: (q >= 0) & (relevant[level] < LARGE_CLASS) for level, (q, _) in labels.items()}
    ranked = {level: (q >= 0) & ~listed[level] for level, (q, _) in labels.items()}
    comes_again = torch.stack(list(ranked.values())).any(0)

    def keep(level: str, rows: Tensor, made: Values) -> None:
        for name, value in made.items():
            values[level][name][rows.cpu()] = value.cpu().float()

    depths = [torch.where(listed[level], relevant[level].clamp(min=max(ks, default=1)), 0) for level in labels]
    for rows, found in _neighbours(search, torch.stack(depths).amax(0)):
        for level, (of_queries, of_gallery) in labels.items():
            here = listed[level][rows]
            wanted, count = of_queries[rows[here]], relevant[level][rows[here]]
            if len(count):
                hits = of_gallery[found[here, : max(int(count.max()), *ks, 1)]] == wanted[:, None]
                keep(level, rows[here], _metrics(hits, count, ks))
        progress.advance(int((~comes_again[rows]).sum()))
    for rows, scores in _scored(search, torch.stack([torch.where(ranked[level], labels[level][0], -1)
                                                     for level in labels])):  # fmt: skip
        levels = [level for level in labels if ranked[level][rows[0]]]
        depth = max([*(int(relevant[level][rows].max()) for level in levels), *ks])
        top = largest(scores, min(depth, len(search.gallery)))
        for level in levels:
            members = (labels[level][1] == labels[level][0][rows[0]]).nonzero().flatten()
            keep(level, rows, _metrics_of_ranks(class_ranks(scores, members, top), relevant[level][rows, None], ks))
        progress.advance(len(rows))
    return values


def values_within(
    search: Search,
    labels: tuple[Tensor, Tensor],
    groups: tuple[Tensor, Tensor],
    ks: Sequence[int] = RECALL_KS,
    progress: Progress = Progress(),
) -> Values:
    """Every metric of every query, searching only the gallery items of its own group.

    labels and groups are pairs as in `Pairs`; a query of no known group does not count. "chance" is the share of a
    query's class in what it searches: the precision of a random order.
    """
    labels, groups = _on(search.gallery.device, labels), _on(search.gallery.device, groups)
    count = len(search.queries)
    parts: Values = {}
    for group in groups[0][(groups[0] >= 0) & (labels[0] >= 0)].unique():
        asked, among = (groups[0] == group).nonzero().flatten(), (groups[1] == group).nonzero().flatten()
        part, pair = search.within(asked, among), (labels[0][asked], labels[1][among])
        found = retrieval_values(part, {"": pair}, ks, progress)[""]
        searched = (len(among) - (part.own >= 0).long()).clamp(min=1)
        found["chance"] = (_relevant(part.own, *pair) / searched).where(pair[0] >= 0, torch.nan).cpu()
        for name, value in found.items():
            parts.setdefault(name, torch.full((count,), torch.nan))[asked.cpu()] = value
    return parts


def summary(values: Values, labels: Tensor, chosen: Tensor | None = None) -> dict[str, float | int]:
    """The mean of each metric over the queries that count, of those `chosen` [Q] if given; "queries" and "classes".

    A mean over no query is 0.
    """
    known = (labels >= 0).cpu() if chosen is None else ((labels >= 0) & chosen).cpu()
    counted = {name: value[known & ~value.isnan()].double() for name, value in values.items()}
    return {
        **{name: float(value.mean()) if len(value) else 0.0 for name, value in counted.items()},
        "queries": int(known.sum()),
        "classes": len(labels.cpu()[known].unique()),
    }


def by_group(
    values: Mapping[str, Values], labels: Tensor, groups: Tensor, names: Sequence[str]
) -> list[dict[str, Any]]:
    """`summary` of each kind of `values` for the queries of each group [Q] (-1: none), the worst first.

    Each row has the group's "name" of `names`. Worst is the lowest Recall@1, then mAP@R, of the last kind.
    """
    rows = [
        {"name": names[group], **{kind: summary(found, labels, groups == group) for kind, found in values.items()}}
        for group in groups[(groups >= 0) & (labels >= 0)].unique().tolist()
    ]
    last = list(values)[-1]
    return sorted(rows, key=lambda row: (row[last].get("recall@1", 0), row[last]["map@r"]))


def retrieval_metrics(features: Tensor, labels: Tensor, ks: Sequence[int] = RECALL_KS) -> dict[str, float | int]:
    """All metrics in one search: "recall@1" ..., "precision@1" ..., "map@r", "r_precision", "queries", "classes".

    features [N, D], normalised here; labels [N] integers, -1 where unknown: such an item is no query, yet it
    stays in the gallery. Each query searches all items but itself by cosine (MaskCon's protocol).

    - recall@k: the share of queries with an item of their class among the k nearest; precision@k: the mean share
      of their class among the k nearest. A query that is alone in its class counts as a miss, as in MaskCon.
    - With R the number of other items in the query's class: r_precision is the share of the R nearest that
      are of the class; map@r sums the precision at the rank of each of those and divides by R. Both are
      means over the queries that are not alone in their class, 0 when all are (Musgrave et al., "A Metric
      Learning Reality Check", 2020).

    "queries" and "classes" count what is behind the numbers. Raises InputError when no item has a label.
    """
    search, labels = _checked(features, labels)
    return summary(retrieval_values(search, {"": (labels, labels)}, ks)[""], labels)


def recall_at_k(features: Tensor, labels: Tensor, ks: Sequence[int]) -> dict[int, float]:
    """The recall of `retrieval_metrics` at each k of `ks`, in a search no deeper than the largest of them."""
    search, labels = _checked(features, labels)
    recalled = dict.fromkeys(ks, 0)
    for rows, found in _neighbours(search, torch.where(labels < 0, 0, max(ks))):
        hits = labels[found] == labels[rows, None]
        for k in ks:
            recalled[k] += int(hits[:, :k].any(1).sum())
    return {k: count / int((labels >= 0).sum()) for k, count in recalled.items()}


def map_at_r(features: Tensor, labels: Tensor) -> float:
    """The mAP@R of `retrieval_metrics`."""
    return retrieval_metrics(features, labels, ks=())["map@r"]


def r_precision(features: Tensor, labels: Tensor) -> float:
    """The R-precision of `retrieval_metrics`."""
    return retrieval_metrics(features, labels, ks=())["r_precision"]


def _checked(features: Tensor, labels: Tensor) -> tuple[Search, Tensor]:
    search = Search.among(features)
    labels = torch.as_tensor(labels, device=search.gallery.device)
    if len(search.gallery) != len(labels):
        raise InputError(f"{len(search.gallery)} features but {len(labels)} labels: each feature needs one label")
    if not (labels >= 0).any():
        raise InputError("no item has a label, so retrieval cannot be measured: label some of the images")
    return search, labels


def _on(device: torch.device, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return pair[0].to(device), pair[1].to(device)


def _relevant(own: Tensor, of_queries: Tensor, of_gallery: Tensor) -> Tensor:
    """R [Q]: how many gallery items other than itself are of each query's class; 0 where that is unknown."""
    classes, counts = of_gallery[of_gallery >= 0].unique(return_counts=True)
    if not len(classes):
        return torch.zeros_like(own)
    place = torch.searchsorted(classes, of_queries).clamp(max=len(classes) - 1)
    found = torch.where(classes[place] == of_queries, counts[place], 0)
    return found - ((own >= 0) & (of_gallery[own] == of_queries) & (of_queries >= 0)).long()


def _neighbours(search: Search, depth: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunks of queries: their indices [B], and their nearest items [B, k], with k at least the `depth` [Q] of each.

    Queries of depth 0 are left out; k is never more than there are items.
    """
    # The deepest first: the rows of one chunk then need about the same depth, which its first row tells.
    queries = depth.argsort(descending=True)[: int((depth > 0).sum())]
    deepest = int(depth.max()) if len(queries) else 0
    if 2 * len(queries) > len(depth) and len(depth) * deepest <= NEIGHBOURS_AMONG and search.is_mutual:
        found = nearest_others(search.gallery, deepest)[1]
        yield from ((rows, found[rows]) for rows in queries.split(max(1, NEIGHBOURS_AT_ONCE // deepest)))
        return
    start = 0
    while start < len(queries):
        k = int(depth[queries[start]])
        rows = queries[start : start + min(QUERIES_AT_ONCE, max(1, NEIGHBOURS_AT_ONCE // k))]
        yield rows, nearest(search.queries[rows], search.gallery, k, exclude=search.own[rows])[1]
        start += len(rows)


def _scored(search: Search, classes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunks of queries that are alike in `classes` [L, Q]: their indices [B], and their scores [B, G], own ones -inf.

    Queries that are -1 in all of them are left out.
    """
    kinds, kind = classes.unique(dim=1, return_inverse=True)
    for number in (kinds >= 0).any(0).nonzero().flatten():
        for rows in (kind == number).nonzero().flatten().split(max(1, SCORES_AT_ONCE // len(search.gallery))):
            scores = search.queries[rows] @ search.gallery.T
            found = (search.own[rows] >= 0).nonzero().flatten()
            scores[found, search.own[rows[found]]] = -torch.inf
            yield rows, scores


def _metrics_of_ranks(ranks: Tensor, relevant: Tensor, ks: Sequence[int]) -> Values:
    """The metrics [B] of the ranks [B, M] of a class's items, best first; `relevant` [B, 1] are to be found."""
    place = torch.arange(1, ranks.shape[1] + 1, device=ranks.device)
    hits = ranks <= relevant
    return {
        **{f"recall@{k}": (ranks[:, 0] <= k).float() for k in ks},
        **{f"precision@{k}": (ranks <= k).sum(1) / k for k in ks},
        "map@r": (place / ranks * hits / relevant).sum(1),
        "r_precision": (hits / relevant).sum(1),
    }


def _metrics(hits: Tensor, relevant: Tensor, ks: Sequence[int]) -> Values:
    """The metrics [B] of ranked hits [B, k], of which at most `relevant` [B] are to be found."""
    made = {f"recall@{k}": hits[:, :k].any(1).float() for k in ks}
    made |= {f"precision@{k}": hits[:, :k].sum(1) / k for k in ks}
    hits = hits[:, : max(int(relevant.max()), 1)]
    ranks = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    hits = hits & (ranks <= relevant[:, None])
    precision = hits.cumsum(1) / ranks
    return {
        **made,
        "map@r": (precision * hits).sum(1) / relevant,  # 0 / 0, not a number, where there is nothing to find
        "r_precision": hits.sum(1) / relevant,
    }
