"""kNN classification by weighted votes in a bank of labeled features.

Predictions do not depend on the order of the bank: items as near as the k-th neighbor share the remaining votes, and
of classes with equal votes the one with the lowest number wins.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.runtime.progress import Progress, Reporter
from coarsecon.search.exact import SCORES_AT_ONCE, l2_normalize, nearest, products, tie_tolerance

PAPER = (200, 0.1)
"""k and temperature of ASCL."""

QUERIES_AT_ONCE = 1024
VOTES_AT_ONCE = 2**22
"""Entries of the matrix of votes [queries, classes] held in memory at a time (16 MiB in float32)."""


def knn_predict(bank: Tensor, bank_labels: Tensor, queries: Tensor, *, k: int = 200, t: float = 0.1) -> Tensor:
    """Predict the class [Q] int64 with the largest sum of exp(cosine / t) among the `k` nearest items of the bank.

    Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination" (2018), with the settings of
    ASCL.

    Args:
        bank: Features [M, D], normalized here.
        bank_labels: Integers [M], -1 where unknown (no vote).
        queries: Features [Q, D], normalized here.
        k: Number of neighbors; the complete bank if larger.
        t: Temperature.

    Raises:
        InputError: No label is known.
    """
    return knn_predictions(bank, bank_labels, queries, ks=[k], ts=[t])[k, t]


@torch.no_grad()
def knn_predictions(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    *,
    ks: Sequence[int],
    ts: Sequence[float],
    progress: Progress = Progress(),
) -> dict[tuple[int, float], Tensor]:
    """Compute `knn_predict` of every pair (k, t) from one search with the largest k.

    Raises:
        InputError: No label is known, or a k or t is not above 0.
    """
    if not ks or not ts or min(ks) < 1 or min(ts) <= 0:
        raise InputError("kNN", "needs at least one k of 1 or more, and at least one temperature above 0")
    bank, queries = l2_normalize(bank), l2_normalize(queries)
    bank_labels = torch.as_tensor(bank_labels, device=bank.device).long()
    known = bank_labels >= 0
    if not known.any():
        raise InputError("labels of the kNN bank", "no image has one", "label some training images")
    bank, bank_labels = bank[known], bank_labels[known]
    num_classes = int(bank_labels.max()) + 1
    predictions: dict[tuple[int, float], list[Tensor]] = {(k, t): [] for k in ks for t in ts}
    for chunk in queries.split(min(QUERIES_AT_ONCE, max(1, VOTES_AT_ONCE // max(*ks, num_classes)))):
        cosines, indices = nearest(chunk, bank, max(ks) + 1)
        classes, tied = bank_labels[indices], _tied_at_the_end(cosines, ks)
        for t in set(ts):
            for k, winners in vote(cosines, classes, num_classes, ks=ks, t=t).items():
                predictions[k, t].append(winners)
        for rows in tied.split(max(1, SCORES_AT_ONCE // len(bank))):
            scores = products(chunk[rows], bank)
            for k, t in predictions:
                last = cosines[rows, min(k, len(bank)) - 1]
                predictions[k, t][-1][rows] = _shared_vote(scores, last, bank_labels, num_classes, k=k, t=t)
        progress.advance(len(chunk))
    return {pair: torch.cat(parts) for pair, parts in predictions.items()}


def vote(cosines: Tensor, classes: Tensor, num_classes: int, *, ks: Sequence[int], t: float) -> dict[int, Tensor]:
    """Return for each k the class [Q] with the largest sum of exp(cosine / t) among the first k neighbors.

    Args:
        cosines: Cosines [Q, K] of the neighbors, best first.
        classes: Classes [Q, K] of the neighbors.
    """
    # Weights relative to the nearest item's: the same winner, and no overflow at a small temperature.
    weights = ((cosines - cosines[:, :1]) / t).exp()
    votes = weights.new_zeros(len(cosines), num_classes)
    winners, counted = {}, 0
    for k in sorted(set(ks)):  # the votes of a smaller k are the first of a larger one
        votes.scatter_add_(1, classes[:, counted:k], weights[:, counted:k])
        winners[k] = _winners(votes, t)
        counted = k
    return winners


def _shared_vote(scores: Tensor, last: Tensor, classes: Tensor, num_classes: int, *, k: int, t: float) -> Tensor:
    """Return the winners [Q] of `vote` where items with the k-th score, `last` [Q], share the remaining votes.

    Args:
        scores: Scores [Q, M] of the complete bank, with classes [M].
    """
    tolerance = tie_tolerance(scores.dtype)
    above = scores > last[:, None] + tolerance
    equal = (scores >= last[:, None] - tolerance) & ~above
    left = min(k, len(classes)) - above.sum(1)
    shares = above + equal * (left / equal.sum(1))[:, None]
    weights = shares * ((scores - scores.amax(1, keepdim=True)) / t).exp()
    votes = weights.new_zeros(len(scores), num_classes)
    return _winners(votes.index_add_(1, classes, weights), t)


def _tied_at_the_end(cosines: Tensor, ks: Sequence[int]) -> Tensor:
    """Return the rows of cosines [Q, K], best first, where for some k the next item is as near as the k-th."""
    gaps = cosines[:, :-1] - cosines[:, 1:]
    ends = [k - 1 for k in ks if k <= gaps.shape[1]]
    return (gaps[:, ends] <= tie_tolerance(cosines.dtype)).any(1).nonzero().flatten()


def _winners(votes: Tensor, t: float) -> Tensor:
    """Return the class [Q] with the most votes [Q, C], the first of those equal within the tolerance of a cosine."""
    most = votes.amax(1, keepdim=True)
    least = (most * math.exp(-tie_tolerance(votes.dtype) / t)).clamp(min=torch.finfo(votes.dtype).tiny)
    return (votes >= least).byte().argmax(1)


def knn_metrics(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    labels: Tensor,
    *,
    ks: Sequence[int],
    ts: Sequence[float],
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Compute the top-1 accuracy of every pair (k, t) on queries [Q, D] with labels [Q] (-1: unknown, left out).

    Returns:
        "top1", "k" and "t" of the paper's setting if it is among the pairs, else of the first pair; "grid" with all
        pairs; the numbers of "queries" and "classes".

    Raises:
        InputError: As `knn_predictions`, or no query has a label.
    """
    labels = torch.as_tensor(labels, device=queries.device)
    known = labels >= 0
    if not known.any():
        raise InputError("labels of the queries", "no image has one", "label some images to evaluate kNN")
    truth = labels[known]
    with (reporter or Reporter()).progress("voting", len(truth), "queries") as progress:
        predictions = knn_predictions(bank, bank_labels, queries[known], ks=ks, ts=ts, progress=progress)
    top1 = {pair: float((found == truth).double().mean()) for pair, found in predictions.items()}
    k, t = PAPER if PAPER in top1 else next(iter(top1))
    return {
        "top1": top1[k, t],
        "k": k,
        "t": t,
        "queries": len(truth),
        "classes": len(truth.unique()),
        "grid": [{"k": k, "t": t, "top1": value} for (k, t), value in top1.items()],
    }
