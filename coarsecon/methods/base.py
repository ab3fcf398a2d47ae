"""What a method is: modules and a loss over named views; the loop that calls it knows no method by name."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import ConfigDict
from torch import Tensor, nn

from coarsecon.config import FeatureLayer, Settings
from coarsecon.runtime.distributed import Distributed
from coarsecon.views.base import View
from coarsecon.views.filters import InputFilter
from coarsecon.views.presets import make_view


class MethodSettings(Settings):
    """Base of every method's `Config`; frozen, because a method is built from it once."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True)
class Setup:
    """What a method is built from besides its own settings."""

    encoder: nn.Module
    """The backbone: images [N, 3, S, S] -> features [N, feature_dim]."""
    feature_dim: int
    num_classes: int
    """Classes of the label level that is learned from."""
    image_size: int
    """Side of the views in pixels."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    comm: Distributed = field(default_factory=Distributed)
    shuffle_keys: bool = True
    """Whether a momentum encoder sees the batch shuffled across the ranks, so that batch norm tells no pairs."""

    def view(self, name: str) -> View:
        """The view preset called `name`, at this run's side and normalisation."""
        return make_view(name, size=self.image_size, mean=self.mean, std=self.std)


class Method(nn.Module):
    """Base class of every method, built-in or from outside.

    A subclass declares its settings in a nested `Config`, builds its modules in `__init__`, names its views and
    returns the loss of one step. `encoder` and the modules named in `heads` are what a run keeps: evaluations use
    its features [N, feature_dim], and ask for more through `project`, `coarse_logits` and `class_weights`.
    """

    class Config(MethodSettings):
        """The method's own settings, given as `method: {name: ..., ...}`."""

    defaults: ClassVar[dict[str, Any]] = {}
    """Settings outside `method` that this method would rather have; the lowest layer of all."""

    needs_labels: ClassVar[bool] = True
    """Whether every training image must have a label of the level learned from; else an unknown one is -1."""

    min_classes: ClassVar[int] = 1
    """Fewest classes of the training images from which there is something to learn."""

    heads: ClassVar[tuple[str, ...]] = ("projector", "classifier")
    """Attributes, where there are such, whose weights stay with the encoder; all else only training needs."""

    encoder: nn.Module

    def __init__(self, config: Any, setup: Setup) -> None:
        super().__init__()
        self.config = config
        self.encoder = setup.encoder
        self.comm = setup.comm

    @classmethod
    def resolve(cls, config: Any, *, image_size: int, images: int, classes: int) -> Any:
        """The settings with every `auto` replaced by what it means for so many images and classes of this side."""
        return config

    @classmethod
    def input_filter(cls, config: Any) -> InputFilter:
        """The filter that the encoder's images go through after normalisation; it becomes part of its input transform.

        Views come unfiltered: the method filters what it shows the encoder, everything after training does it by
        the recipe.
        """
        return "none"

    @classmethod
    def for_restoring(cls, config: Any) -> Any:
        """The settings without files of weights to start from, for a method whose state is loaded once it is built."""
        return config

    @classmethod
    def for_evaluation(cls, config: Any) -> Any:
        """The settings that give the same heads with as little as can be of what only training needs."""
        return cls.for_restoring(config)

    def project(self, features: Tensor) -> Tensor | None:
        """The projection [N, D] of backbone features [N, F] as they leave the backbone; None without a `projector`."""
        projector = getattr(self, "projector", None)
        return None if projector is None else projector(features)

    def coarse_logits(self, features: Tensor) -> Tensor | None:
        """Logits [N, C] of the classes learned from, of backbone features [N, F]; None without a `classifier`."""
        classifier = getattr(self, "classifier", None)
        return None if classifier is None else classifier(features)

    def class_weights(self) -> tuple[Tensor, FeatureLayer] | None:
        """The classifier's row of each class [C, D'], and the layer in whose space it lies.

        None without a linear `classifier`, or where its inputs are of neither layer.
        """
        classifier = getattr(self, "classifier", None)
        return (classifier.weight.detach(), "backbone") if isinstance(classifier, nn.Linear) else None

    def views(self) -> dict[str, View]:
        """The views each image of a batch is shown as, by name."""
        raise NotImplementedError  # every method names its own

    def step(self, views: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """The loss of one batch.

        Args:
            views: images [N, 3, S, S] by the names of `views()`.
            labels: coarse labels [N].

        Returns:
            `loss`, a scalar with gradient, and any further scalars without gradient to be logged.
        """
        raise NotImplementedError  # every method computes its own

    def shown(self, views: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the encoders see of `views`, normalised [N, 3, S, S] by name, for the picture of a run's start."""
        return views

    def before_training(self, batches: Iterator[tuple[dict[str, Tensor], Tensor]]) -> None:
        """Called once before the first step with (views, labels) of real batches, to fill a queue for example."""

    def after_step(self) -> None:
        """Called after the optimiser's step, to enqueue the step's keys for example."""
