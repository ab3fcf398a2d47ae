"""Momentum contrast with soft targets: one cross-entropy over [own key, queue], with one target per method.

With q_i, k_i the unit-norm query and key and u_1..u_K the queue, the logits are [s(q_i, k_i), s(q_i, u_1), ...] / t.
Every target mixes that of MoCo (the own key) with one of the own key and weighted queue entries. The attraction to the
weighted entries is linear in the query, so the loss needs the log-sum-exp of the logits and one weighted sum of
the queue per query; neither logits nor targets [N, K + 1] are ever in memory at once.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.losses.arguments import check_rows
from coarsecon.losses.chunked import queue_logsumexp, weighted_queue
from coarsecon.losses.precision import full_precision, l2_normalize

Weigh = Callable[[Tensor, slice], Tensor]
"""(unit-norm keys [n, D], their slice of the batch) -> unnormalized targets of the queue [n, K]."""


def soft_target_loss(
    q: Tensor, k: Tensor, queue: Tensor, weigh: Weigh, *, temperature: float, soft_weight: float = 1.0
) -> Tensor:
    """Compute the cross-entropy against the target w * norm([1, weights]) + (1 - w) * [1, 0, ...].

    Args:
        q: Query projections [N, D].
        k: Key projections [N, D], a constant.
        queue: Unit-norm keys [K, D], a constant.
        weigh: Returns the queue's unnormalized targets for a slice of the batch; receives no gradient.
        temperature: Temperature of the logits.
        soft_weight: The mixing weight w.
    """
    check_rows(batch=(q, k))
    q, k, queue = l2_normalize(q), l2_normalize(k.detach()), queue.detach()
    own = (q * k).sum(1) / temperature
    log_total = torch.logaddexp(own, queue_logsumexp(q, queue, temperature))
    pull, mass = weighted_queue(lambda rows: weigh(k[rows], rows), len(k), queue)
    attracted = (own + (q * pull).sum(1) / temperature) / (1 + mass)
    return (log_total - soft_weight * attracted - (1 - soft_weight) * own).mean()


@full_precision
def moco_loss(
    q: Tensor, k: Tensor, queue: Tensor, *, t: float, hard_negatives: Tensor | None = None, alpha: float = 1.0
) -> Tensor:
    """Compute InfoNCE against the queue (He et al., CVPR 2020), with optional hard negatives (Chin et al., WACV 2024).

    Args:
        q: Query projections [N, D].
        k: Key projections [N, D].
        queue: Unit-norm keys [K, D].
        t: Temperature.
        hard_negatives: Projections of M hard negatives per query [N, M, D].
        alpha: Weight of the similarity to a hard negative.
    """
    check_rows(batch=(q, k) if hard_negatives is None else (q, k, hard_negatives))
    q, k = l2_normalize(q), l2_normalize(k.detach())
    own = (q * k).sum(1) / t
    log_total = torch.logaddexp(own, queue_logsumexp(q, queue, t))
    if hard_negatives is not None:
        hard = alpha * torch.einsum("nd,nmd->nm", q, l2_normalize(hard_negatives)) / t
        log_total = torch.logaddexp(log_total, hard.logsumexp(1))
    return (log_total - own).mean()


def maskcon_weights(k: Tensor, labels: Tensor, queue: Tensor, queue_labels: Tensor, *, t: float) -> Tensor:
    """Compute MaskCon's unnormalized target of every queue entry [N, K] (Feng & Patras, CVPR 2023, Sec. 3.3).

    The softmax over same-class entries of s(k_i, u_j) / t divided by its maximum, which is
    exp((s - max s) / t); 0 for the other classes, and 0 everywhere for a class that is not in the queue.
    """
    similarity = (l2_normalize(k) / t) @ queue.T
    similarity.masked_fill_(labels[:, None] != queue_labels[None, :], float("-inf"))
    nearest = similarity.amax(1, keepdim=True) if len(queue) else similarity.new_zeros(len(k), 1)
    # A row without same-class entries is -inf throughout; subtracting 0 keeps its weights at exp(-inf) = 0.
    return similarity.sub_(nearest.masked_fill(nearest.isinf(), 0)).exp_()


@full_precision
def maskcon_loss(
    q: Tensor, k: Tensor, labels: Tensor, queue: Tensor, queue_labels: Tensor, *, w: float, t0: float, t: float
) -> Tensor:
    """Compute MaskCon (Feng & Patras, CVPR 2023): same-class entries attract by their similarity to the key view.

    Args:
        q: Query projections [N, D].
        k: Key projections [N, D].
        labels: Coarse labels [N].
        queue: Unit-norm keys [K, D].
        queue_labels: Coarse labels of the queue [K].
        w: Weight of the soft target; 0 is MoCo.
        t0: Temperature of the logits.
        t: Temperature of the soft target; large t with w = 1 is the supervised target.
    """
    check_rows(batch=(q, labels), queue=(queue, queue_labels))

    def weigh(keys: Tensor, rows: slice) -> Tensor:
        return maskcon_weights(keys, labels[rows], queue, queue_labels, t=t)

    return soft_target_loss(q, k, queue, weigh, temperature=t0, soft_weight=w)


@full_precision
def grafit_loss(
    q: Tensor, k: Tensor, labels: Tensor, queue: Tensor, queue_labels: Tensor, *, w: float, t0: float
) -> Tensor:
    """Compute Grafit with a queue (Touvron et al., ICCV 2021): w times the supervised loss, 1 - w times MoCo's.

    The loss is linear in its target, so the mixture of losses is one loss with the mixed target.
    Arguments as in `maskcon_loss`.
    """
    check_rows(batch=(q, labels), queue=(queue, queue_labels))

    def weigh(keys: Tensor, rows: slice) -> Tensor:
        return (labels[rows, None] == queue_labels[None, :]).to(queue.dtype)

    return soft_target_loss(q, k, queue, weigh, temperature=t0, soft_weight=w)


@full_precision
def coins_loss(
    q: Tensor, k: Tensor, class_logits: Tensor, labels: Tensor, queue: Tensor, *, w: float, t0: float
) -> Tensor:
    """Compute CoIns (Xu et al., ICCV 2021): w times cross-entropy on the coarse labels, 1 - w times MoCo's loss.

    Args:
        class_logits: Coarse class logits of the query view [N, C]; the other arguments as in `maskcon_loss`.
    """
    return w * F.cross_entropy(class_logits, labels) + (1 - w) * moco_loss(q, k, queue, t=t0)
