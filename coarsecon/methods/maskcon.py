"""MaskCon: soft targets from the key view over the same-class entries of the queue.

Every query is attracted by its own key and by the queue entries of its coarse class, weighted by their similarity to
its key view. So fine classes within a coarse class separate without fine labels.
Feng & Patras, CVPR 2023 (arXiv 2303.12756).
"""

from pydantic import Field
from torch import Tensor

from coarsecon.config import Fraction, Positive
from coarsecon.losses import maskcon_loss
from coarsecon.methods.momentum import MomentumContrast, MomentumSettings


class MaskCon(MomentumContrast):
    """Masked contrastive learning; `w = 0` is MoCo, `w = 1` with a large `t` the supervised target."""

    class Config(MomentumSettings):
        """Settings of MaskCon."""

        w: Fraction = Field(1.0, description="Weight of the soft target; the own key gets the rest.")
        t: Positive = Field(0.05, description="Temperature of the soft target.")

    def loss(self, q: Tensor, k: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """Compute `maskcon_loss` against the queue."""
        w, t0, t = self.config.w, self.config.t0, self.config.t
        return maskcon_loss(q, k, labels, self.queue.keys, self.queue.labels, w=w, t0=t0, t=t)
