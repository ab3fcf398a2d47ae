"""Base class of methods: modules, and a loss over named views."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import ConfigDict
from torch import Tensor, nn

from coarsecon.config import FeatureLayer, Settings
from coarsecon.runtime.distributed import Distributed
from coarsecon.views.base import View
from coarsecon.views.filters import InputFilter
from coarsecon.views.geometry import Interpolation
from coarsecon.views.presets import make_view


class MethodSettings(Settings):
    """Base of every method's `Config`; frozen, because a method is built from it once."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True)
class Setup:
    """Arguments of a method other than its settings."""

    encoder: nn.Module
    """The backbone: images [N, 3, S, S] -> features [N, feature_dim]."""
    feature_dim: int
    num_classes: int
    """Number of classes of the training labels."""
    image_size: int
    """Image size S of the views in pixels."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation = "bilinear"
    """Kernel that views are resized with."""
    comm: Distributed = field(default_factory=Distributed)
    shuffle_keys: bool = True
    """Shuffle the batch of a momentum encoder across ranks, so that batch norm does not reveal pairs."""

    def view(self, name: str) -> View:
        """Build the view preset called `name`, with the image size, normalization and interpolation of the run."""
        return make_view(name, size=self.image_size, mean=self.mean, std=self.std, interpolation=self.interpolation)


@dataclass(frozen=True)
class TrainingSizes:
    """Sizes of a training, for warnings about small datasets."""

    images: int
    classes: int
    """Number of classes with training images."""
    batch_size: int
    """Global batch size in images."""
    level: str
    """Level of the training labels."""
    same_class: float | None = None
    """Probability that two training images have the same class (default: that of classes of one size)."""

    @property
    def images_of_class(self) -> float:
        """Expected number of images in a batch of the class of one of them, itself included."""
        return round(1 + (self.batch_size - 1) * self._same_class, 6)

    def batch_with(self, images: int) -> int:
        """Return the least batch size with this number of `images_of_class`."""
        return math.ceil(round(1 + (images - 1) / self._same_class, 6))

    @property
    def _same_class(self) -> float:
        return self.same_class or 1 / max(self.classes, 1)


class Method(nn.Module):
    """Base class of all methods, built-in and third-party.

    A subclass declares its settings in a nested `Config`, builds its modules in `__init__`, names its views and
    returns the loss of one step. A run saves `encoder` and the modules named in `heads`. Evaluations use the features
    [N, feature_dim] of the encoder, and those of the heads through `project`, `coarse_logits` and `class_weights`.
    """

    class Config(MethodSettings):
        """Settings of the method, given as `method: {name: ..., ...}`."""

    defaults: ClassVar[dict[str, Any]] = {}
    """Defaults of this method for settings outside `method`, such as the schedule."""

    needs_labels: ClassVar[bool] = True
    """Require a training label for every image; otherwise an unknown label is -1."""

    min_classes: ClassVar[int] = 1
    """Minimum number of classes of the training images."""

    compares_class_in_batch: ClassVar[bool] = False
    """True if the loss compares the images of a class within a batch, so that an image needs another of its class."""

    mean_loss: bool = False
    """The loss is a mean over the images of a batch, so that gradients of its parts add up (run.accumulate)."""

    heads: ClassVar[tuple[str, ...]] = ("projector", "classifier")
    """Attributes, if present, whose weights are saved with the encoder; all others are only used in training."""

    encoder: nn.Module

    def __init__(self, config: Any, setup: Setup) -> None:
        super().__init__()
        self.config = config
        self.encoder = setup.encoder
        self.comm = setup.comm

    @classmethod
    def resolve(cls, config: Any, *, image_size: int, images: int, classes: int) -> Any:
        """Replace every `auto` in the settings, given the image size and the number of images and classes."""
        return config

    @classmethod
    def small_data_notes(cls, config: Any, sizes: TrainingSizes) -> list[str]:
        """Return warnings about a dataset or batch too small for the method, each with subject, problem and remedy.

        `config` is what `resolve` returned.
        """
        if not cls.compares_class_in_batch or sizes.images_of_class >= 2:
            return []
        return [
            f"run.batch_size ({sizes.batch_size}): the method compares the images of a class in a batch, and an image "
            f"meets only {sizes.images_of_class - 1:.2g} others of its {sizes.level} class there on average; set it to "
            f"{sizes.batch_with(2)} or more"
        ]

    @classmethod
    def input_filter(cls, config: Any) -> InputFilter:
        """Return the filter of the encoder's images after normalization, a part of its input transform.

        Views are not filtered: the method filters the input of its encoder in training, and the input transform does
        so afterwards.
        """
        return "none"

    @classmethod
    def for_restoring(cls, config: Any) -> Any:
        """Remove initial weights from the settings, for a method whose state is loaded after it is built."""
        return config

    @classmethod
    def for_evaluation(cls, config: Any) -> Any:
        """Reduce the settings to the same heads with as few modules for training as possible."""
        return cls.for_restoring(config)

    def project(self, features: Tensor) -> Tensor | None:
        """Project backbone features [N, F], not normalized, to [N, D]; None without a `projector`."""
        projector = getattr(self, "projector", None)
        return None if projector is None else projector(features)

    def coarse_logits(self, features: Tensor) -> Tensor | None:
        """Compute logits [N, C] of the training classes from backbone features [N, F]; None without a `classifier`."""
        classifier = getattr(self, "classifier", None)
        return None if classifier is None else classifier(features)

    def class_weights(self) -> tuple[Tensor, FeatureLayer] | None:
        """Return the rows of the classifier [C, D'], and the layer of its inputs.

        None without a linear `classifier`, or if its inputs are of neither layer.
        """
        classifier = getattr(self, "classifier", None)
        return (classifier.weight.detach(), "backbone") if isinstance(classifier, nn.Linear) else None

    def views(self) -> dict[str, View]:
        """Return the views of each image of a batch, by name."""
        raise NotImplementedError  # a subclass names them

    def step(self, views: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the loss of one batch.

        Args:
            views: Images [N, 3, S, S] by the names of `views()`.
            labels: Training labels [N].

        Returns:
            `loss`, a scalar with gradient, and further scalars without gradient to log.
        """
        raise NotImplementedError  # a subclass computes it

    def shown(self, views: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the inputs of the encoders for `views`, [N, 3, S, S] by name, for the picture of the first batch."""
        return views

    def before_training(self, batches: Iterator[tuple[dict[str, Tensor], Tensor]]) -> None:
        """Called once before the first step with (views, labels) of real batches, for example to fill a queue."""

    def after_step(self) -> None:
        """Called after the optimizer's step, for example to enqueue its keys."""
