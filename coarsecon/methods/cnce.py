"""Cross-entropy on the coarse labels plus InfoNCE inside each coarse class, so that images of a class stay apart.

Cross-entropy stops distinguishing the images of a class once their label is predicted. Class-conditional InfoNCE, which
Chen, Fu et al. (ICML 2022, arXiv 2204.07596) add to SupCon, keeps every image apart from the others of its class, and
the views determine which of them stay close to each other.
"""

from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from coarsecon.config import Positive
from coarsecon.losses import class_conditional_infonce
from coarsecon.losses.precision import l2_normalize, to_float32
from coarsecon.methods.base import Method, MethodSettings, Setup
from coarsecon.views.base import View
from coarsecon.views.presets import ViewName


class CNCE(Method):
    """A linear classifier on the features, and contrast of the features themselves."""

    min_classes = 2
    compares_class_in_batch = True

    class Config(MethodSettings):
        """Settings of the method."""

        weight: float = Field(0.5, ge=0, description="Weight of the class-conditional InfoNCE; 0 is cross-entropy.")
        temperature: Positive = Field(0.2, description="Temperature of the class-conditional InfoNCE.")
        view: ViewName = Field("auto", description="View preset of both views of an image; auto: weak.")

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.classifier = nn.Linear(setup.feature_dim, setup.num_classes)
        view = setup.view(config.view)
        self._views = {"view 1": view, "view 2": view}

    @classmethod
    def resolve(cls, config: Any, *, image_size: int, images: int, classes: int) -> Any:
        """Replace an `auto` view by the weak preset, which keeps colors: fine classes often differ in them."""
        return config.model_copy(update={"view": "weak" if config.view == "auto" else config.view})

    def views(self) -> dict[str, View]:
        """Return two draws of the same view of each image."""
        return self._views

    def step(self, views: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute both terms on both views of each image, the second one over the images of all ranks."""
        features = to_float32(self.encoder(torch.cat(list(views.values()))))
        class_logits, repeated = to_float32(self.classifier(features)), labels.repeat(len(views))
        cross_entropy = F.cross_entropy(class_logits, repeated)
        own = torch.stack(l2_normalize(features).chunk(len(views)), dim=1)
        within = class_conditional_infonce(
            self.comm.gather_with_gradient(own), self.comm.gather(labels), temperature=self.config.temperature
        )
        return {
            "loss": cross_entropy + self.config.weight * within,
            "accuracy": (class_logits.detach().argmax(1) == repeated).float().mean(),
            "class_infonce": within.detach(),
        }
