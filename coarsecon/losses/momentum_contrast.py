"""Momentum contrast with soft targets: one cross-entropy over [own key, queue], one kind of target per method.

With q_i, k_i the unit-norm query and key and u_1..u_K the queue, the logits are [s(q_i, k_i), s(q_i, u_1), ...] / t.
Every target here is a mixture of the own key alone (MoCo) and of the own key with weighted queue entries, so the
loss needs the log-sum-exp of the logits and two weighted sums of them, and no [N, K+1] matrix of targets.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.losses.precision import full_precision, unit


def contrast_logits(q: Tensor, k: Tensor, queue: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Logits of the own key [N] and of the queue [N, K]; q and k are normalised, k and the queue are constants."""
    q, k = unit(q), unit(k.detach())
    return (q * k).sum(1) / temperature, q @ queue.detach().T / temperature


def soft_target_loss(own: Tensor, others: Tensor, weights: Tensor, *, share: float = 1.0) -> Tensor:
    """Cross-entropy of [own, others] against the target share * norm([1, weights]) + (1 - share) * [1, 0, ...].

    Args:
        own: logits of the own key [N].
        others: logits of the queue [N, K].
        weights: unnormalised targets of the queue [N, K], without gradient.
        share: the mixing weight (w in MaskCon).
    """
    log_total = torch.logaddexp(own, others.logsumexp(1))
    attracted = (own + torch.einsum("nk,nk->n", weights, others)) / (1 + weights.sum(1))
    return (log_total - share * attracted - (1 - share) * own).mean()


@full_precision
def moco_loss(
    q: Tensor, k: Tensor, queue: Tensor, *, t: float, hard_negatives: Tensor | None = None, alpha: float = 1.0
) -> Tensor:
    """InfoNCE against the queue (He et al., CVPR 2020), with optional hard negatives (Chin et al., WACV 2024).

    Args:
        q: query projections [N, D].
        k: key projections [N, D].
        queue: unit-norm keys [K, D].
        t: temperature.
        hard_negatives: projections of M hard negatives per query [N, M, D].
        alpha: weight of the similarity to a hard negative.
    """
    own, others = contrast_logits(q, k, queue, t)
    log_total = torch.logaddexp(own, others.logsumexp(1))
    if hard_negatives is not None:
        hard = alpha * torch.einsum("nd,nmd->nm", unit(q), unit(hard_negatives)) / t
        log_total = torch.logaddexp(log_total, hard.logsumexp(1))
    return (log_total - own).mean()


def maskcon_weights(k: Tensor, labels: Tensor, queue: Tensor, queue_labels: Tensor, *, t: float) -> Tensor:
    """MaskCon's unnormalised target of every queue entry [N, K] (Feng & Patras, CVPR 2023, Sec. 3.3).

    The softmax over same-class entries of s(k_i, u_j) / t divided by its own maximum, which is
    exp((s - max s) / t); 0 for the other classes, and 0 everywhere for a class the queue does not hold.
    """
    same = labels[:, None] == queue_labels[None, :]
    similarity = (unit(k) @ queue.T / t).masked_fill(~same, float("-inf"))
    nearest = similarity.max(1, keepdim=True).values
    # A row without any same-class entry is -inf throughout: subtracting 0 instead keeps its weights at exp(-inf) = 0.
    return similarity.sub_(nearest.masked_fill(nearest.isinf(), 0)).exp_()


@full_precision
def maskcon_loss(
    q: Tensor, k: Tensor, labels: Tensor, queue: Tensor, queue_labels: Tensor, *, w: float, t0: float, t: float
) -> Tensor:
    """MaskCon (Feng & Patras, CVPR 2023): same-class queue entries attract by their similarity to the key view.

    Args:
        q: query projections [N, D].
        k: key projections [N, D].
        labels: coarse labels [N].
        queue: unit-norm keys [K, D].
        queue_labels: coarse labels of the queue [K].
        w: share of the soft target; 0 is MoCo.
        t0: temperature of the logits.
        t: temperature of the soft target; large t with w = 1 is the supervised target.
    """
    with torch.no_grad():
        weights = maskcon_weights(k, labels, queue, queue_labels, t=t)
    return soft_target_loss(*contrast_logits(q, k, queue, t0), weights, share=w)


@full_precision
def grafit_loss(
    q: Tensor, k: Tensor, labels: Tensor, queue: Tensor, queue_labels: Tensor, *, w: float, t0: float
) -> Tensor:
    """Grafit in its queue form (Touvron et al., ICCV 2021): w times the supervised loss, 1 - w times MoCo's.

    The loss is linear in its target, so the mixture of losses is one loss with the mixed target.
    Arguments as in `maskcon_loss`.
    """
    own, others = contrast_logits(q, k, queue, t0)
    return soft_target_loss(own, others, (labels[:, None] == queue_labels[None, :]).to(others.dtype), share=w)


@full_precision
def coins_loss(
    q: Tensor, k: Tensor, class_logits: Tensor, labels: Tensor, queue: Tensor, *, w: float, t0: float
) -> Tensor:
    """CoIns (Xu et al., ICCV 2021): w times cross-entropy on the coarse labels, 1 - w times MoCo's loss.

    Args:
        class_logits: coarse class logits of the query view [N, C]; the other arguments as in `maskcon_loss`.
    """
    own, others = contrast_logits(q, k, queue, t0)
    instance = (torch.logaddexp(own, others.logsumexp(1)) - own).mean()
    return w * F.cross_entropy(class_logits, labels) + (1 - w) * instance
