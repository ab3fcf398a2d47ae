"""timm's ResNets as the backbone of torchvision's detectors: cut after layer3 (C4), or under a feature pyramid."""

from typing import Any

import torch
from timm.layers import freeze_batch_norm_2d
from timm.models import split_model_name_tag
from timm.models.resnet import ResNet
from torch import nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from coarsecon.errors import InputError
from coarsecon.nn.encoder import Encoder

PYRAMID = 256
"""Channels of each level of the feature pyramid."""

STRIDE_PROBE = 128
"""Size in pixels of the image that the stride is measured on."""

LAYERS = ("layer1", "layer2", "layer3", "layer4")


def resnet_of(encoder: Encoder, *, frozen: bool) -> ResNet:
    """Return the encoder's backbone with all layers trainable; `frozen` freezes its batch norms.

    Raises:
        InputError: The backbone is not a ResNet.
    """
    backbone = encoder.backbone
    if not isinstance(backbone, ResNet):
        name = split_model_name_tag(encoder.card.backbone.name)[0]
        raise InputError(
            f"backbone {name}",
            "detection supports timm's ResNets only",
            "train a run with resnet18, resnet34, resnet50, resnet101, resnext50_32x4d, ...",
        )
    if frozen:
        freeze_batch_norm_2d(backbone)  # type: ignore[no-untyped-call]
    return backbone.requires_grad_(True)


def channels(backbone: ResNet) -> list[int]:
    """Return the channels of layer1 to layer4."""
    found: dict[Any, Any] = {info["module"]: info["num_chs"] for info in backbone.feature_info}
    return [found[layer] for layer in LAYERS]


def up_to_layer3(backbone: ResNet) -> nn.Module:
    """Return a module that maps images [N, 3, H, W] to {"0": feature map of layer3}."""
    trunk = IntermediateLayerGetter(backbone, {"layer3": "0"})
    trunk.out_channels = channels(backbone)[2]
    return trunk


@torch.no_grad()
def stride_of(trunk: nn.Module) -> int:
    """Return the stride of `up_to_layer3` in pixels."""
    training = trunk.training
    width = trunk.eval()(torch.zeros(1, 3, STRIDE_PROBE, STRIDE_PROBE))["0"].shape[3]
    trunk.train(training)
    return STRIDE_PROBE // int(width)


def pyramid(backbone: ResNet, *, batch_norm: bool) -> nn.Module:
    """Return a module that maps images [N, 3, H, W] to five maps of 256 channels; `batch_norm`: also in new layers."""
    return BackboneWithFPN(
        backbone,
        {layer: str(level) for level, layer in enumerate(LAYERS)},
        channels(backbone),
        PYRAMID,
        extra_blocks=LastLevelMaxPool(),
        norm_layer=nn.BatchNorm2d if batch_norm else None,
    )
