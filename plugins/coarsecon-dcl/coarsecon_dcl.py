"""DCL: instance contrast whose denominator leaves the positive out.

InfoNCE scales its gradient by how badly the positive is told from the negatives, which couples the two and starves
easy samples of gradient; without the positive in the denominator that factor is gone.
Yeh et al., ECCV 2022 (arXiv 2110.06848), here against a key queue.
"""

import torch.nn.functional as F
from torch import Tensor

from coarsecon.losses.precision import full_precision
from coarsecon.methods.momentum import MomentumContrast, MomentumSettings


@full_precision
def dcl_loss(q: Tensor, k: Tensor, queue: Tensor, *, t: float) -> Tensor:
    """Mean over the batch of -s(q_i, k_i) / t + log sum_j exp(s(q_i, u_j) / t).

    Args:
        q: query projections [N, D].
        k: key projections [N, D].
        queue: unit-norm keys u [K, D].
        t: temperature.
    """
    q, k = F.normalize(q, dim=1), F.normalize(k, dim=1)
    positive = (q * k).sum(1) / t
    negatives = q @ queue.T / t
    return (negatives.logsumexp(1) - positive).mean()


class DCL(MomentumContrast):
    """Momentum contrast with the decoupled loss; looks at no label at all."""

    class Config(MomentumSettings):
        """Settings of DCL: those of the family."""

    def loss(self, q: Tensor, k: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """`dcl_loss` against the queue."""
        return dcl_loss(q, k, self.queue.keys, t=self.config.t0)
