"""ANCOR: contrast within a coarse class, by angles around the direction of the class.

Bukchin et al., CVPR 2021 (arXiv 2012.03515), Sec. 3.2. An embedding v is seen from its class's weights W_y:
A(v, W_y) = normalize(normalize(v) - normalize(W_y)). The classifier pulls all embeddings of a class to one
direction; seen from there, they still differ in angle.
"""

from typing import Literal

import torch
from torch import Tensor

from coarsecon.losses.arguments import check_choice, check_rows
from coarsecon.losses.chunked import queue_logsumexp
from coarsecon.losses.precision import full_precision, l2_normalize

ContrastKind = Literal["cst_by_class", "cst_all_by_class", "cst_all"]
Metric = Literal["angular", "norm"]


def angular(vectors: Tensor, directions: Tensor) -> Tensor:
    """Compute A(v, W) of vectors [..., D] and unit-norm directions; zero where a vector has its direction."""
    return l2_normalize(
        l2_normalize(vectors) - directions, eps=1e-6
    )  # nearer than that, the difference is rounding error


@full_precision
def ancor_loss(
    q: Tensor,
    k: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    banks: Tensor,
    *,
    t: float,
    kind: ContrastKind = "cst_by_class",
    metric: Metric = "angular",
) -> Tensor:
    """Compute InfoNCE of angularly normalized embeddings against banks of keys (Bukchin et al., CVPR 2021, Sec. 3.2).

    Args:
        q: Query embeddings [N, D], not normalized.
        k: Key embeddings [N, D], not normalized.
        labels: Coarse labels [N].
        class_weights: Rows of the classifier [C, D], of any width for `norm`; receive no gradient.
        banks: Keys, not normalized: one bank per class [C, K, D], or a single one [K, D] for `cst_all`.
        t: Temperature.
        kind: Negatives: the bank of the query's class, all banks (each seen from its class), or plain MoCo.
        metric: `angular` as above, or `norm`: L2 normalization only.

    Raises:
        ValueError: `cst_all` with the angular metric (its bank has no class direction), or banks of the wrong shape.
    """
    check_choice("kind", kind, ContrastKind)
    check_choice("metric", metric, Metric)
    check_rows(batch=(q, k, labels))
    if kind == "cst_all" and metric == "angular":
        raise ValueError("cst_all has a single bank and no class direction; use metric='norm'")
    if banks.ndim != (2 if kind == "cst_all" else 3):
        raise ValueError(f"{kind} needs banks {'[K, D]' if kind == 'cst_all' else '[C, K, D]'}, got {banks.ndim} axes")
    # A zero direction turns the angular metric into `norm`, where the classifier's rows may have another width.
    directions = (
        l2_normalize(class_weights.detach()) if metric == "angular" else q.new_zeros(len(class_weights), q.shape[1])
    )
    q, k = angular(q, directions[labels]), angular(k.detach(), directions[labels])
    own = (q * k).sum(1) / t
    if kind == "cst_all":
        negatives = queue_logsumexp(q, l2_normalize(banks), t)
    elif kind == "cst_all_by_class":
        per_bank = [queue_logsumexp(q, angular(bank, w), t) for bank, w in zip(banks, directions, strict=True)]
        negatives = torch.stack(per_bank, 1).logsumexp(1)
    else:
        negatives = _own_bank_logsumexp(q, labels, directions, banks, t)
    return (torch.logaddexp(own, negatives) - own).mean()


def _own_bank_logsumexp(q: Tensor, labels: Tensor, directions: Tensor, banks: Tensor, t: float) -> Tensor:
    """Compute the log-sum-exp over the bank of each query's class [N], without a device synchronization.

    Sorted by class, the queries are cut into tiles, and a tile is compared with the banks of the classes it spans. Only
    the device knows the number of comparisons, but it is at most tiles + classes - 1 (or the number of tiles, if each
    is one query). This is two to three times the necessary work, and little compared with the network's.
    """
    n, classes = len(q), len(banks)
    rows = max(1, n // classes)
    order = labels.argsort()
    place = torch.arange(n + -n % rows, device=q.device).clamp(max=n - 1).view(-1, rows)
    own = labels[order][place]
    first, spanned = own[:, 0], own[:, -1] - own[:, 0] + 1
    end = spanned.cumsum(0)
    pair = torch.arange(len(own) + (classes - 1) * (rows > 1), device=q.device)
    tile = torch.searchsorted(end, pair, right=True).clamp(max=len(own) - 1)
    bank = (first[tile] + pair - (end - spanned)[tile]).clamp(max=classes - 1)
    compared = [
        queue_logsumexp(queries, angular(banks[c].squeeze(0), directions[c]), t)
        for queries, c in zip(q[order][place][tile], bank.split(1), strict=True)
    ]
    pair_of_row = (end - spanned - first)[:, None] + own
    in_order = torch.stack(compared)[pair_of_row, torch.arange(rows, device=q.device)]
    return in_order.flatten()[:n][order.argsort()]
