"""SimCLR with hard negatives: NT-Xent with masked views of the anchor's image in the denominator."""

import torch
from torch import Tensor

from coarsecon.losses.arguments import check_rows
from coarsecon.losses.in_batch import others_logsumexp
from coarsecon.losses.precision import full_precision, l2_normalize


@full_precision
def masked_simclr_loss(q: Tensor, k: Tensor, hard_negatives: Tensor, *, t: float, alpha: float = 1.0) -> Tensor:
    """Compute NT-Xent (Chen et al., ICML 2020) with hard negatives per anchor (Chin et al., WACV 2024).

    -s(a, p) / t + log[sum_{x != a} exp(s(a, x) / t) + sum_m exp(alpha * s(a, n_m) / t)], the mean over 2N anchors a:
    p is the other view of the anchor's image, x are all other projections, n_m the hard negatives of the image, the
    same for its two views. There is no momentum encoder: all three arguments receive gradient.

    Args:
        q: Projections of the first views [N, D].
        k: Projections of the second views [N, D].
        hard_negatives: Projections of M hard negatives per image [N, M, D].
        t: Temperature.
        alpha: Weight of the similarity to a hard negative.

    Raises:
        ValueError: The arguments differ in N.
    """
    check_rows(batch=(q, k, hard_negatives))
    q, k, hard_negatives = l2_normalize(q), l2_normalize(k), l2_normalize(hard_negatives)
    anchors = torch.cat([q, k])
    positive = (q * k).sum(1).repeat(2) / t
    hard = alpha / t * torch.cat([torch.einsum("nd,nmd->nm", view, hard_negatives) for view in (q, k)])
    log_total = torch.logaddexp(others_logsumexp(anchors, anchors, t), hard.logsumexp(1))
    return (log_total - positive).mean()
