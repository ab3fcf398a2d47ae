"""SimCLR with hard negatives: NT-Xent whose denominators also hold masked views of the anchor's own image."""

import torch
from torch import Tensor

from coarsecon.losses.arguments import check_rows
from coarsecon.losses.in_batch import others_logsumexp
from coarsecon.losses.precision import full_precision, l2_normalize


@full_precision
def masked_simclr_loss(q: Tensor, k: Tensor, hard_negatives: Tensor, *, t: float, alpha: float = 1.0) -> Tensor:
    """NT-Xent (Chen et al., ICML 2020) with hard negatives of every anchor's own (Chin et al., WACV 2024).

    -s(a, p) / t + log[sum_{x != a} exp(s(a, x) / t) + sum_m exp(alpha * s(a, n_m) / t)], the mean over 2N anchors a:
    p is the other view of the anchor's image, x are all other projections, n_m the hard negatives of the image, which
    its two views share. Without momentum encoder there are no constants here: gradient reaches all three arguments.

    Args:
        q: projections of the first views [N, D].
        k: projections of the second views [N, D].
        hard_negatives: projections of M hard negatives per image [N, M, D].
        t: temperature.
        alpha: weight of the similarity to a hard negative.

    Raises:
        ValueError: the arguments differ in N.
    """
    check_rows(batch=(q, k, hard_negatives))
    q, k, hard_negatives = l2_normalize(q), l2_normalize(k), l2_normalize(hard_negatives)
    anchors = torch.cat([q, k])
    positive = (q * k).sum(1).repeat(2) / t
    hard = alpha / t * torch.cat([torch.einsum("nd,nmd->nm", view, hard_negatives) for view in (q, k)])
    log_total = torch.logaddexp(others_logsumexp(anchors, anchors, t), hard.logsumexp(1))
    return (log_total - positive).mean()
