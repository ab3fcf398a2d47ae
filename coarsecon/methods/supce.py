"""Cross-entropy on the coarse labels, the usual baseline.

With `data.labels: fine` it is the upper bound that fine labels would give.
"""

from typing import Any

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from coarsecon.losses.precision import to_float32
from coarsecon.methods.base import Method, MethodSettings, Setup
from coarsecon.views.base import View
from coarsecon.views.presets import ViewName, default_views


class SupCE(Method):
    """A linear classifier on the features."""

    min_classes = 2
    mean_loss = True

    class Config(MethodSettings):
        """Settings of the cross-entropy baseline."""

        view: ViewName = Field("auto", description="View preset of the images; auto: the strong one of MaskCon.")

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.classifier = nn.Linear(setup.feature_dim, setup.num_classes)
        self._views = {"image": setup.view(config.view)}

    @classmethod
    def resolve(cls, config: Any, *, image_size: int, images: int, classes: int) -> Any:
        """Replace an `auto` view by the strong preset."""
        return config.model_copy(
            update={"view": default_views(image_size)[0] if config.view == "auto" else config.view}
        )

    def views(self) -> dict[str, View]:
        """Return one view of each image."""
        return self._views

    def step(self, views: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the cross-entropy of the class logits, and the accuracy on the batch."""
        class_logits = to_float32(self.classifier(self.encoder(views["image"])))
        accuracy = (class_logits.detach().argmax(1) == labels).float().mean()
        return {"loss": F.cross_entropy(class_logits, labels), "accuracy": accuracy}
