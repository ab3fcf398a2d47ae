"""Foreground of images by the features of a frozen network (Chin et al., WACV 2024)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coarsecon.config import BackboneSettings
from coarsecon.errors import CoarseconError, InputError
from coarsecon.nn.backbone import create_backbone
from coarsecon.nn.published import find_published_transform
from coarsecon.nn.weights import LoadedWeights, load_weights

Statistics = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation of each channel."""

STATISTICS_SIZE = 224
"""Any image size: statistics do not depend on it."""

STRIDE = 32
"""Pixels per cell of the last feature map of a network with a standard stem."""


def create_extractor(
    name: str, *, image_size: int, pretrained: bool, weights: Path | None, stem: Literal["standard", "small"]
) -> nn.Module:
    """Build a frozen timm model for saliency of views of this size; a checkpoint takes precedence over timm's weights.

    Raises:
        InputError: There is no such model, or the weights do not fit.
        CoarseconError: timm's weights cannot be downloaded.
    """
    settings = BackboneSettings(name=name, stem=stem, pretrained=pretrained and weights is None)

    def refuse_new(loaded: LoadedWeights) -> None:
        if loaded.new:  # frozen, they would keep their random values
            raise InputError("method.saliency", f"not all weights of {name} are in {loaded.origin}: {loaded.new[0]}")

    try:
        network = create_backbone(settings, image_size, refuse_new)
    except InputError as error:  # the subject is a setting of the backbone, which this network is not
        raise InputError("method.saliency", error.problem, error.hint) from None
    except CoarseconError as error:
        raise CoarseconError(
            "method.saliency",
            f"the weights of {name} cannot be downloaded",
            "download them on another machine and set method.saliency_weights to the file, or set method.saliency to "
            "momentum, which needs none",
        ) from error
    if weights is not None:
        load_weights(network, weights, fresh_stem=False)
    return network.requires_grad_(False)


class Renormalization(nn.Module):
    """Change of the statistics that images [N, 3, S, S] are normalized with; new ones change nothing."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(3, 1, 1))
        self.register_buffer("shift", torch.zeros(3, 1, 1))
        self.register_load_state_dict_pre_hook(_keep_missing)  # type: ignore[no-untyped-call]

    def set(self, before: Statistics, after: Statistics) -> None:
        """Change from the mean and standard deviation `before` to those `after`."""
        (mean, std), (new_mean, new_std) = (tuple(map(torch.tensor, each)) for each in (before, after))
        self.scale.copy_((std / new_std)[:, None, None])
        self.shift.copy_(((mean - new_mean) / new_std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Normalize images again."""
        return images * self.scale + self.shift


def _keep_missing(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Keep the values that a state lacks: runs of earlier versions did not change the statistics."""
    for name, value in module.named_buffers():
        state.setdefault(f"{prefix}{name}", value)


def statistics_of(name: str, *, pretrained: bool, weights: Path | None) -> Statistics | None:
    """Return the mean and standard deviation that the weights of a timm model expect; None for random weights.

    Raises:
        InputError: A description next to the file of the weights is malformed.
    """
    if weights is None and not pretrained:
        return None
    transform = find_published_transform(name, STATISTICS_SIZE, weights).transform
    return transform.mean, transform.std


def check_extractor(network: nn.Module, image_size: int) -> None:
    """Check the network on one image of this size.

    Raises:
        InputError: Its features are tokens instead of a map, or the map has a single cell.
    """
    features = last_feature_map(network, torch.zeros(1, 3, image_size, image_size))
    name = type(network).__name__
    if features.ndim != 4 or getattr(network, "output_fmt", "NCHW") != "NCHW":
        raise InputError(
            "method.saliency", f"{name} has tokens, not a feature map [N, C, h, w]", "choose a convolutional network"
        )
    if features.shape[2:].numel() == 1:
        raise InputError(
            "method.saliency",
            f"the last feature map of {name} at {image_size} px is a single cell",
            "use a network with a smaller stride, a small stem, or larger views",
        )


@torch.no_grad()
def last_feature_map(network: Any, images: Tensor) -> Tensor:
    """Compute the features [N, C, h, w] before pooling, in evaluation mode; keeps the mode of the network."""
    training = network.training
    network.eval()
    try:
        features: Tensor = network.forward_features(images)
    finally:
        network.train(training)
    return features


def saliency_map(network: nn.Module, images: Tensor, grid: int, *, image_size: int | None = None) -> Tensor:
    """Sum the channels of the last feature map of normalized images [N, 3, S, S], pooled to [N, grid * grid].

    With `image_size` the images are enlarged to it first, so that the map is not coarser than the grid.
    """
    if image_size is not None and image_size != images.shape[-1]:
        images = F.interpolate(images, size=(image_size, image_size), mode="bilinear")
    summed = last_feature_map(network, images).float().sum(1)
    return F.adaptive_avg_pool2d(summed, grid).flatten(1)


def find_foreground(saliency: Tensor) -> Tensor:
    """Mark foreground patches [N, P]: value >= mean - 0.6 * std of the values of the map (population std)."""
    # Relative to the maximum, so that a constant map is exactly 0 and all foreground, despite rounding.
    values = saliency - saliency.amax(1, keepdim=True)
    std, mean = torch.std_mean(values, dim=1, correction=0, keepdim=True)
    return values >= mean - 0.6 * std
