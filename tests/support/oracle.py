"""Retrieval metrics and the kNN vote in plain NumPy, one query at a time, from the definitions in docs/evaluations.md.

Slow, in float64. Cosines that are equal up to rounding are equal: see `TIE`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TIE = 1e-6
"""Cosines closer than this are equal; the tests draw features whose other cosines differ by much more."""

Rows = NDArray[np.float64]
Labels = NDArray[np.int64]


def cosines(queries: Rows, gallery: Rows) -> Rows:
    """Cosines [Q, G]; 0 with a vector of zeros."""
    return unit(queries) @ unit(gallery).T


def unit(rows: Rows) -> Rows:
    """The rows with length one; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def ranked_hits(scores: Rows, is_hit: NDArray[np.bool_]) -> list[bool]:
    """Which items in falling order of score are hits; of equal scores those that are no hits come first."""
    order = np.lexsort((is_hit, -np.round(scores / TIE)))
    return [bool(hit) for hit in is_hit[order]]


def query_metrics(hits: Sequence[bool], ks: Sequence[int]) -> dict[str, float]:
    """Every metric of one query from its ranked hits; NaN where no item is of its class."""
    relevant = sum(hits)
    found = {f"recall@{k}": float(any(hits[:k])) for k in ks}
    found |= {f"precision@{k}": sum(hits[:k]) / k for k in ks}
    if relevant == 0:
        return {**found, "map@r": np.nan, "r_precision": np.nan}
    precisions = [sum(hits[:i]) / i for i in range(1, relevant + 1) if hits[i - 1]]
    return {**found, "map@r": sum(precisions) / relevant, "r_precision": sum(hits[:relevant]) / relevant}


def retrieval(
    queries: Rows,
    gallery: Rows,
    labels: tuple[Labels, Labels],
    own: Labels,
    ks: Sequence[int],
    groups: tuple[Labels, Labels] | None = None,
) -> dict[str, list[float]]:
    """Every metric of every query, NaN for a query that does not count.

    A query with label -1 does not count; an item with label -1 is a miss. own [Q] is the query's place in the
    gallery, or -1. With `groups` a query searches only the items of its group, and "chance" is the fraction of them
    that is of its class; a query whose group is -1 does not count.
    """
    names = [f"{name}@{k}" for name in ("recall", "precision") for k in ks] + ["map@r", "r_precision"]
    names += ["chance"] * (groups is not None)
    values: dict[str, list[float]] = {name: [] for name in names}
    for i, scores in enumerate(cosines(queries, gallery)):
        found = dict.fromkeys(names, np.nan)
        if labels[0][i] >= 0 and (groups is None or groups[0][i] >= 0):
            searched = np.arange(len(gallery)) != own[i]
            if groups is not None:
                searched &= groups[1] == groups[0][i]
            is_hit = labels[1][searched] == labels[0][i]
            found = query_metrics(ranked_hits(scores[searched], is_hit), ks)
            if groups is not None:
                found["chance"] = is_hit.sum() / max(len(is_hit), 1)
        for name in names:
            values[name].append(found[name])
    return values


def mean(values: Sequence[float]) -> float:
    """The mean over the queries that count, 0 over none."""
    counted = [value for value in values if not np.isnan(value)]
    return sum(counted) / len(counted) if counted else 0.0


def knn_votes(bank: Rows, labels: Labels, queries: Rows, *, k: int, t: float) -> Rows:
    """The votes [Q, C] of each class: exp(cosine / t) of the k nearest; items that are equal at the last place share
    the places that are left."""
    known = labels >= 0
    votes = np.zeros((len(queries), int(labels.max()) + 1))
    for i, scores in enumerate(np.round(cosines(queries, bank[known]) / TIE) * TIE):
        last = np.sort(scores)[::-1][min(k, len(scores)) - 1]
        above, equal = scores > last, scores == last
        share = above + equal * (min(k, len(scores)) - above.sum()) / equal.sum()
        np.add.at(votes[i], labels[known], share * np.exp((scores - scores.max()) / t))
    return votes
