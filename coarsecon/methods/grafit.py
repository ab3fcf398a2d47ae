"""Grafit: w times the supervised contrastive loss over the queue, 1 - w times MoCo's.

The queue form of Touvron et al., ICCV 2021 (arXiv 2011.12982), as MaskCon's paper compares with it; the original
has a nearest-neighbor loss instead of the supervised part.
"""

from pydantic import Field
from torch import Tensor

from coarsecon.config import Fraction
from coarsecon.losses import grafit_loss
from coarsecon.methods.momentum import MomentumContrast, MomentumSettings


class Grafit(MomentumContrast):
    """All queue entries of the same coarse class attract equally."""

    class Config(MomentumSettings):
        """Settings of Grafit."""

        w: Fraction = Field(0.5, description="Weight of the supervised loss.")

    def loss(self, q: Tensor, k: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """Compute `grafit_loss` against the queue."""
        return grafit_loss(q, k, labels, self.queue.keys, self.queue.labels, w=self.config.w, t0=self.config.t0)
