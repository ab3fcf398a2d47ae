"""Spread: SupCon on coarse labels with InfoNCE inside each coarse class, so that classes do not collapse.

SupCon is minimal when a class collapses to one point. Adding a contrastive loss within each class separates its images,
and augmented views determine which of them stay close to each other.
Chen, Fu et al., ICML 2022 (arXiv 2204.07596): L_spread = (1 - alpha) L_SupCon + alpha L_cNCE.
"""

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from coarsecon.config import Count, Fraction, Positive
from coarsecon.losses import class_conditional_infonce, supcon_loss
from coarsecon.losses.precision import l2_normalize
from coarsecon.methods import Method, MethodSettings, Setup
from coarsecon.nn.heads import projector
from coarsecon.views.base import Op, View
from coarsecon.views.color import ColorJitter, RandomGrayscale
from coarsecon.views.geometry import RandomResizedCrop


class Spread(Method):
    """Two views of each image, one encoder, one projector."""

    class Config(MethodSettings):
        """Settings of L_spread."""

        alpha: Fraction = Field(0.5, description="Weight of the class-conditional InfoNCE; 0 is SupCon.")
        temperature: Positive = Field(0.5, description="Temperature of both losses.")
        dim: Count = Field(128, description="Dimensions of the projection.")
        hidden: Count | None = Field(
            None, description="Width of the projector's hidden layer. Default: the feature dimension."
        )
        smallest_crop: Fraction = Field(0.2, description="Minimum area of a crop relative to the image.")

    defaults: ClassVar[dict[str, Any]] = {
        "optimizer": {"lr": 0.05, "weight_decay": 1e-4},
        "schedule": {"epochs": 200, "warmup_epochs": 10},
    }

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.projector = projector(setup.feature_dim, config.hidden, config.dim)
        crop = RandomResizedCrop((config.smallest_crop, 1.0), flip=0.5, interpolation=setup.interpolation)
        ops: list[Op] = [ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), RandomGrayscale(0.2)]
        view = View(setup.image_size, setup.mean, setup.std, crop, ops)
        self._views = {"first": view, "second": view}

    def views(self) -> dict[str, View]:
        """Return two independent draws of the same view."""
        return self._views

    def step(self, views: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute L_spread on the global batch, and its two terms."""
        images = torch.cat([views["first"], views["second"]])
        projections = l2_normalize(self.projector(self.encoder(images)).float())
        own = torch.stack(projections.chunk(2), dim=1)
        features, labels = self.comm.gather_with_gradient(own), self.comm.gather(labels)
        alpha, t = self.config.alpha, self.config.temperature
        supcon = supcon_loss(features, labels, temperature=t, base_temperature=t)
        within = class_conditional_infonce(features, labels, temperature=t)
        loss = (1 - alpha) * supcon + alpha * within
        return {"loss": loss, "supcon": supcon.detach(), "class_infonce": within.detach()}
