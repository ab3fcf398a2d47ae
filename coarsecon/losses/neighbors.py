"""ASCL: the nearest neighbors of the key also attract, weighted by confidence.

Feng & Patras, ICPR 2022 (arXiv 2207.11163). For a key k_i and candidates u_1..u_n (the queue, or the other keys of
the batch), p_i = softmax_j(s(k_i, u_j) / t2) and the confidence is a_i = 1 - H(p_i) / log n.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from coarsecon.losses.arguments import check_choice, check_rows
from coarsecon.losses.momentum_contrast import moco_loss, soft_target_loss
from coarsecon.losses.precision import full_precision, l2_normalize

NeighborKind = Literal["ascl", "ahcl", "hard", "moco"]
ByolKind = Literal["ascl", "normal"]


def neighbor_weights(similarity: Tensor, *, candidates: int, num_neighbors: int, kind: NeighborKind) -> Tensor:
    """Compute the unnormalized target of every candidate [N, K].

    Args:
        similarity: s(k_i, u_j) / t2 [N, K], -inf for entries that are no candidates; may be overwritten.
        candidates: Number of candidates among the K (n in the bound of the entropy).
        num_neighbors: Number of neighbors that attract.
        kind: `ascl` min(1, a * num_neighbors * p), `ahcl` a for each of the nearest, `hard` 1 for each of them.
    """
    neighbors = min(num_neighbors, candidates)
    if kind == "hard":
        return _nearest(similarity, neighbors)
    nearest = _nearest(similarity, neighbors) if kind == "ahcl" else None
    log_p = similarity.sub_(similarity.logsumexp(1, keepdim=True))
    p = log_p.exp()
    entropy = -torch.einsum("nk,nk->n", p, log_p.masked_fill_(log_p.isinf(), 0))[:, None]
    confidence = (1 - entropy / math.log(candidates)).clamp(0, 1) if candidates > 1 else torch.ones_like(entropy)
    if nearest is not None:
        return nearest.mul_(confidence)
    return p.mul_(confidence * num_neighbors).clamp_(max=1)


def _nearest(similarity: Tensor, neighbors: int) -> Tensor:
    """Return 1 for the nearest candidates of each row, 0 for the others."""
    if neighbors == 0:
        return torch.zeros_like(similarity)
    return torch.zeros_like(similarity).scatter_(1, similarity.topk(neighbors, dim=1).indices, 1.0)


@full_precision
def ascl_loss(
    q: Tensor, k: Tensor, queue: Tensor, *, t1: float, t2: float, num_neighbors: int = 1, kind: NeighborKind = "ascl"
) -> Tensor:
    """Compute ASCL on MoCo (Feng & Patras, ICPR 2022): queue entries near the key view attract.

    Args:
        q: Query projections [N, D].
        k: Key projections [N, D].
        queue: Unit-norm keys [K, D].
        t1: Temperature of the logits.
        t2: Temperature of the distribution over neighbors.
        num_neighbors: Number of neighbors that attract.
        kind: See `neighbor_weights`; with `moco` none attracts.
    """
    check_choice("kind", kind, NeighborKind)
    if kind == "moco":
        return moco_loss(q, k, queue, t=t1)

    def weigh(keys: Tensor, rows: slice) -> Tensor:
        similarity = (keys / t2) @ queue.T
        return neighbor_weights(similarity, candidates=len(queue), num_neighbors=num_neighbors, kind=kind)

    return soft_target_loss(q, k, queue, weigh, temperature=t1)


@full_precision
def ascl_byol_loss(p: Tensor, k: Tensor, *, t2: float, num_neighbors: int = 1, kind: ByolKind = "ascl") -> Tensor:
    """Compute ASCL on BYOL: 2 - 2 * sum_j z_ij s(p_i, k_j) over the keys of the batch, the own key with weight 1.

    Args:
        p: Predictor outputs of the queries [N, D].
        k: Key projections [N, D].
        t2: Temperature of the distribution over neighbors.
        num_neighbors: Number of neighbors that attract.
        kind: `normal` is BYOL itself (Grill et al., NeurIPS 2020).
    """
    check_choice("kind", kind, ByolKind)
    check_rows(batch=(p, k))
    p, k = l2_normalize(p), l2_normalize(k.detach())
    own = (p * k).sum(1)
    if kind == "normal" or len(k) == 1:
        return (2 - 2 * own).mean()
    with torch.no_grad():
        similarity = (k @ k.T / t2).fill_diagonal_(float("-inf"))
        weights = neighbor_weights(similarity, candidates=len(k) - 1, num_neighbors=num_neighbors, kind=kind)
        pull, mass = weights @ k, weights.sum(1)
    return (2 - 2 * (own + (p * pull).sum(1)) / (1 + mass)).mean()
