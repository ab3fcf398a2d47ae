"""MoCo: instance contrast against a key queue, without labels.

He et al., CVPR 2020 (arXiv 1911.05722), with the projector of MoCo v2.
"""

from torch import Tensor

from coarsecon.losses import moco_loss
from coarsecon.methods.momentum import MomentumContrast, MomentumSettings


class MoCo(MomentumContrast):
    """Self-supervised momentum contrast."""

    needs_labels = False

    class Config(MomentumSettings):
        """Settings of MoCo."""

    def loss(self, q: Tensor, k: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """Compute `moco_loss` against the queue."""
        return moco_loss(q, k, self.queue.keys, t=self.config.t0)
