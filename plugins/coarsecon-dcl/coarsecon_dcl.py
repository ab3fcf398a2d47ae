"""DCL: decoupled contrastive learning, InfoNCE without the positive in the denominator.

InfoNCE scales its gradient by how poorly the positive is separated from the negatives, which leaves little gradient for
easy samples; without the positive in the denominator this factor vanishes.
Yeh et al., ECCV 2022 (arXiv 2110.06848), here against a key queue.
"""

import torch.nn.functional as F
from torch import Tensor

from coarsecon.losses.precision import full_precision
from coarsecon.methods.momentum import MomentumContrast, MomentumSettings


@full_precision
def dcl_loss(q: Tensor, k: Tensor, queue: Tensor, *, t: float) -> Tensor:
    """Compute the batch mean of -s(q_i, k_i) / t + log sum_j exp(s(q_i, u_j) / t).

    Args:
        q: Query projections [N, D].
        k: Key projections [N, D].
        queue: Unit-norm keys u [K, D].
        t: Temperature.
    """
    q, k = F.normalize(q, dim=1), F.normalize(k, dim=1)
    positive = (q * k).sum(1) / t
    negatives = q @ queue.T / t
    return (negatives.logsumexp(1) - positive).mean()


class DCL(MomentumContrast):
    """Momentum contrast with the decoupled loss; uses no labels."""

    class Config(MomentumSettings):
        """Settings of DCL, the same as for all momentum contrast methods."""

    def loss(self, q: Tensor, k: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """Compute `dcl_loss` against the queue."""
        return dcl_loss(q, k, self.queue.keys, t=self.config.t0)
