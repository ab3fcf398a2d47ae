"""Contrast within the batch: base of SupCon and SimCLR, which differ in their positives."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from coarsecon.config import Count, Positive
from coarsecon.losses import supcon_loss
from coarsecon.losses.precision import l2_normalize, to_float32
from coarsecon.methods.base import Method, MethodSettings, Setup
from coarsecon.nn.heads import projector
from coarsecon.views.base import View
from coarsecon.views.presets import ViewName


class InBatchSettings(MethodSettings):
    """Settings of in-batch methods."""

    temperature: Positive = Field(0.1, description="Temperature of the logits.")
    base_temperature: Positive = Field(
        0.07, description="Base temperature: the loss is scaled by temperature / base_temperature."
    )
    dim: Count = Field(128, description="Dimension of the projection.")
    hidden: Count | None = Field(
        None, description="Width of the projector's hidden layer (default: that of the features)."
    )
    num_views: int = Field(2, ge=2, description="Number of views per image.")
    view: ViewName = Field("auto", description="View preset of all views; auto: simclr.")


class InBatchContrast(Method):
    """An encoder and a projector; compares all views of all images of a batch."""

    class Config(InBatchSettings):
        """Settings of the family."""

    def __init__(self, config: Any, setup: Setup) -> None:
        super().__init__(config, setup)
        self.projector = projector(setup.feature_dim, config.hidden, config.dim)
        view = setup.view(config.view)
        self._views = {f"view {i + 1}": view for i in range(config.num_views)}

    @classmethod
    def resolve(cls, config: Any, *, image_size: int, images: int, classes: int) -> Any:
        """Replace an `auto` view by its preset."""
        return config.model_copy(update={"view": "simclr" if config.view == "auto" else config.view})

    def views(self) -> dict[str, View]:
        """Return several draws of the same view of each image."""
        return self._views

    def positives(self, labels: Tensor) -> Tensor | None:
        """Return labels [N] whose equality makes positives; None if only views of the same image are positives."""
        raise NotImplementedError  # a subclass chooses them

    def step(self, views: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Project all views in one batch, then compute `supcon_loss` over the images of all ranks."""
        projections = l2_normalize(to_float32(self.projector(self.encoder(torch.cat(list(views.values()))))))
        own = projections.view(len(views), len(labels), -1).transpose(0, 1)
        features, labels = self.comm.gather_with_gradient(own), self.comm.gather(labels)
        temperature, base = self.config.temperature, self.config.base_temperature
        loss = supcon_loss(features, self.positives(labels), temperature=temperature, base_temperature=base)
        with torch.no_grad():
            similarity = (features[:, 0] * features[:, 1]).sum(1).mean()
        return {"loss": loss, "positive_similarity": similarity}
