"""ANCOR: a coarse classifier, and contrast within each coarse class by the angles around the class's direction.

Bukchin et al., CVPR 2021 (arXiv 2012.03515).
"""

from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from coarsecon.config import Count, FeatureLayer, Fraction, Positive
from coarsecon.errors import InputError
from coarsecon.losses import ancor_loss
from coarsecon.losses.precision import l2_normalize, to_float32
from coarsecon.methods.base import Setup
from coarsecon.methods.momentum import MomentumContrast, MomentumSettings
from coarsecon.nn.backbone import SMALL_IMAGE_SIZE
from coarsecon.nn.heads import projector
from coarsecon.nn.queue import ClassBanks


class ANCOR(MomentumContrast):
    """Backbone - [Linear - ReLU] - head, trained by cross-entropy plus angular contrast against per-class banks.

    The `seq` head classifies the embedding, so that the classifier's rows are directions in the space of the embedding;
    the `fork` head classifies the input of the embedding layer.
    """

    class Config(MomentumSettings):
        """Settings of ANCOR."""

        head: Literal["seq", "fork"] = Field(
            "seq", description="Input of the classifier: the embedding (seq), or the layer before it (fork)."
        )
        mlp: bool = Field(True, description="Use a hidden layer before the head.")
        classifier: Literal["unit", "relu"] = Field(
            "unit",
            description="Classifier. unit: linear without bias on unit-norm inputs; relu: with bias, after a ReLU.",
        )
        kind: Literal["cst_by_class", "cst_all_by_class", "cst_all"] = Field(
            "cst_by_class", description="Negatives: the bank of the same class, all banks, or one queue."
        )
        metric: Literal["auto", "angular", "norm"] = Field(
            "auto", description="Similarity; auto: angular if it is defined (seq head with banks per class), else norm."
        )
        t0: Positive = Field(0.2, description="Temperature of the contrast.")
        momentum: Fraction = Field(0.999, description="Momentum of the key encoder (EMA).")
        dim: Count = Field(128, description="Dimension of the embedding.")
        queue_size: Count | None = Field(
            None, description="Number of keys per bank (default: 65536, or half the images of a class if that is less)."
        )

    defaults: ClassVar[dict[str, Any]] = {"optimizer": {"weight_decay": 1e-4}, "schedule": {"name": "cyclic"}}
    max_queue_size = 65536

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        before = (config.hidden or setup.feature_dim) if config.mlp else setup.feature_dim
        width = config.dim if config.head == "seq" else before
        self.classifier = nn.Linear(width, setup.num_classes, bias=config.classifier == "relu")
        if not self.uses_queue:
            assert config.queue_size is not None
            self.banks = ClassBanks(setup.num_classes, config.queue_size, config.dim)

    @property
    def uses_queue(self) -> bool:
        """True with one queue for all classes; otherwise each class has a bank."""
        return bool(self.config.kind == "cst_all")

    def build_projector(self, config: Any, setup: Setup) -> nn.Module:
        """Build the hidden layer, if any, and the embedding layer."""
        if config.mlp:
            return projector(setup.feature_dim, config.hidden, config.dim)
        return nn.Sequential(nn.Linear(setup.feature_dim, config.dim))

    @classmethod
    def resolve(cls, config: Any, *, image_size: int, images: int, classes: int) -> Any:
        """Resolve as in `MomentumContrast`, with banks for the images of one class; choose the metric.

        Raises:
            InputError: The angular metric is set, and class directions are not in the space of the embedding, or there
                is one queue for all classes.
        """
        has_directions = config.head == "seq" and config.kind != "cst_all"
        if config.metric == "angular" and not has_directions:
            raise InputError(
                "method.metric",
                "angular needs the seq head and banks per class",
                "set method.head to seq and method.kind to cst_by_class, or method.metric to norm",
            )
        metric = ("angular" if has_directions else "norm") if config.metric == "auto" else config.metric
        named = config.model_copy(update={"metric": metric})
        return super().resolve(named, image_size=image_size, images=images, classes=classes)

    @classmethod
    def images_per_queue(cls, config: Any, images: int, classes: int) -> int:
        """Return the average number of images of a class, unless all classes have one queue."""
        return images if config.kind == "cst_all" else images // classes

    @classmethod
    def auto_views(cls, image_size: int) -> tuple[str, str]:
        """Return the same preset for both: crop and flip for small images, with jitter and blur for large ones."""
        return ("weak", "weak") if image_size <= SMALL_IMAGE_SIZE else ("simclr-blur", "simclr-blur")

    def coarse_logits(self, features: Tensor) -> Tensor:
        """Compute logits [N, C] of backbone features [N, F], from the embedding or its input."""
        return self.class_logits(features, self.projector(features))

    def class_weights(self) -> tuple[Tensor, FeatureLayer] | None:
        """Return directions in the space of the embedding (`seq` head); None for those of a hidden layer."""
        if self.config.head == "seq":
            return self.classifier.weight.detach(), "projector"
        return None if self.config.mlp else (self.classifier.weight.detach(), "backbone")

    def class_logits(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Compute logits [N, C] of features [N, F] with the embedding [N, D]."""
        assert isinstance(self.projector, nn.Sequential)
        inputs = embedding if self.config.head == "seq" else self.projector[:-1](features)
        logits: Tensor = self.classifier(
            l2_normalize(to_float32(inputs)) if self.config.classifier == "unit" else F.relu(inputs)
        )
        return to_float32(logits)

    def loss(self, q: Tensor, k: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """Compute cross-entropy plus `ancor_loss`, each with weight 1."""
        classification = F.cross_entropy(self.class_logits(features, q), labels)
        c, memory = self.config, self.queue.keys if self.uses_queue else self.banks.keys
        contrast = ancor_loss(q, k, labels, self.classifier.weight, memory, t=c.t0, kind=c.kind, metric=c.metric)
        return classification + contrast

    def remember(self, keys: Tensor, labels: Tensor) -> None:
        """Store keys in the queue, or not normalized in the banks of their classes."""
        if self.uses_queue:
            super().remember(keys, labels)
        else:
            self.banks.enqueue(keys, labels)

    def memory_is_full(self) -> bool:
        """Return True if every bank is full of real keys."""
        return super().memory_is_full() if self.uses_queue else bool((self.banks.written == self.banks.size).all())
