"""Where the foreground of an image is, told by the features of a frozen network (Chin et al., WACV 2024)."""

from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coarsecon.config import BackboneSettings
from coarsecon.errors import CoarseconError, InputError
from coarsecon.nn.backbone import create_backbone
from coarsecon.nn.weights import LoadedWeights, load_weights

STRIDE = 32
"""Pixels to a cell of the last feature map of a network with the usual stem."""


def create_extractor(
    name: str, *, image_size: int, pretrained: bool, weights: Path | None, stem: Literal["standard", "small"]
) -> nn.Module:
    """A frozen timm model to tell saliency from views of this side; a file of weights goes before timm's own.

    Raises:
        InputError: no such model, or weights that do not fit.
        CoarseconError: timm's weights cannot be fetched.
    """
    settings = BackboneSettings(name=name, stem=stem, pretrained=pretrained and weights is None)

    def refuse_new(loaded: LoadedWeights) -> None:
        if loaded.new:  # frozen, it would keep its random values
            raise InputError(f"method.saliency: not all of {name} comes from {loaded.origin}: {loaded.new[0]}")

    try:
        network = create_backbone(settings, image_size, refuse_new)
    except InputError as error:  # blames a setting of the backbone, which this network is not
        raise InputError(f"method.saliency: {str(error).partition(': ')[2]}") from None
    except CoarseconError as error:
        raise CoarseconError(
            f"method.saliency: the weights of {name} cannot be fetched. Fetch them elsewhere and pass the file as "
            "method.saliency_weights, or use method.saliency=momentum, which needs none."
        ) from error
    if weights is not None:
        load_weights(network, weights, fresh_stem=False)
    return network.requires_grad_(False)


def check_extractor(network: nn.Module, image_size: int) -> None:
    """Try the network on one image of this side.

    Raises:
        InputError: its features are tokens instead of a map, or the map has a single cell.
    """
    features = last_feature_map(network, torch.zeros(1, 3, image_size, image_size))
    name = type(network).__name__
    if features.ndim != 4 or getattr(network, "output_fmt", "NCHW") != "NCHW":
        raise InputError(
            f"method.saliency: {name} gives tokens, not a feature map [N, C, h, w]; choose a convolutional network"
        )
    if features.shape[2:].numel() == 1:
        raise InputError(
            f"method.saliency: at {image_size} px the last feature map of {name} is a single cell; "
            "use a network with a smaller stride, a small stem, or larger views"
        )


@torch.no_grad()
def last_feature_map(network: Any, images: Tensor) -> Tensor:
    """The features [N, C, h, w] before pooling, in evaluation mode; leaves the network's mode as it was."""
    training = network.training
    network.eval()
    try:
        features: Tensor = network.forward_features(images)
    finally:
        network.train(training)
    return features


def saliency_map(network: nn.Module, images: Tensor, grid: int, *, image_size: int | None = None) -> Tensor:
    """The channel sum of the last feature map of normalised images [N, 3, S, S], pooled to [N, grid * grid].

    With `side` the network sees the images enlarged to it, so that its map is not coarser than the grid.
    """
    if image_size is not None and image_size != images.shape[-1]:
        images = F.interpolate(images, size=(image_size, image_size), mode="bilinear")
    summed = last_feature_map(network, images).float().sum(1)
    return F.adaptive_avg_pool2d(summed, grid).flatten(1)


def find_foreground(saliency: Tensor) -> Tensor:
    """Which patches are foreground: value >= mean - 0.6 * std of the map's own [N, P] values (population std)."""
    # Measured from the maximum, so that a flat map is exactly 0 throughout, and foreground whatever the rounding.
    values = saliency - saliency.amax(1, keepdim=True)
    std, mean = torch.std_mean(values, dim=1, correction=0, keepdim=True)
    return values >= mean - 0.6 * std
