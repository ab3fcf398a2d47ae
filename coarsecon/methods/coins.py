"""CoIns: w times cross-entropy on the coarse labels, 1 - w times MoCo's loss, on one encoder.

Xu et al., ICCV 2021 (arXiv 2005.09681).
"""

from pydantic import Field
from torch import Tensor, nn

from coarsecon.config import Fraction
from coarsecon.losses import coins_loss
from coarsecon.methods.base import Setup
from coarsecon.methods.momentum import MomentumContrast, MomentumSettings


class CoIns(MomentumContrast):
    """A linear classifier on the features, and instance contrast on the projections."""

    class Config(MomentumSettings):
        """Settings of CoIns."""

        w: Fraction = Field(0.5, description="Weight of the cross-entropy.")

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.classifier = nn.Linear(setup.feature_dim, setup.num_classes)

    def loss(self, q: Tensor, k: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """Compute `coins_loss` against the queue."""
        class_logits = self.classifier(features)
        return coins_loss(q, k, class_logits, labels, self.queue.keys, w=self.config.w, t0=self.config.t0)
