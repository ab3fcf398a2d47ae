"""Convnets with a 3x3 stem of stride 1 for small images, registered with timm as `small_stem`.

`timm.create_model("small_stem", base="resnet18")` is ResNet-18 with that stem and without the max-pool after it;
`keep_pool=True` keeps the max-pool. timm has no argument for it.
"""

from typing import Any, TypeGuard

import timm
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

__all__ = ["first_convolution", "names_a_convolution", "use_small_stem"]


def names_a_convolution(name: object) -> TypeGuard[str]:
    """Return True if timm's `first_conv` of a model is the stem of a convnet, not a patch embedding."""
    return isinstance(name, str) and "embed" not in name


def first_convolution(model: nn.Module) -> str | None:
    """Return the name of a convnet's first convolution; None for networks with a patch embedding."""
    name = getattr(model, "pretrained_cfg", {}).get("first_conv")
    if not names_a_convolution(name):
        return None
    inner = (f"{name}.{part}".rstrip(".") for part, module in model.get_submodule(name).named_modules()
             if isinstance(module, nn.Conv2d))  # fmt: skip
    return next(inner, None)


def use_small_stem(model: nn.Module, *, keep_pool: bool = False, he_normal: bool = True) -> None:
    """Make the first convolution 3x3 with stride 1 and, as usual for 32 px, remove the max-pool after it.

    Its weights are initialized like those of ResNet's other convolutions (He et al., ICCV 2015, by fan-out), or with
    `he_normal=False` from PyTorch's default uniform distribution.
    """
    name = first_convolution(model)
    assert name is not None
    old = model.get_submodule(name)
    assert isinstance(old, nn.Conv2d)
    if old.kernel_size != (3, 3) or old.stride != (1, 1):
        new = nn.Conv2d(old.in_channels, old.out_channels, 3, stride=1, padding=1, bias=old.bias is not None)
        if he_normal:
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
            if new.bias is not None:
                nn.init.zeros_(new.bias)
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, new)
    if not keep_pool and isinstance(getattr(model, "maxpool", None), nn.Module):
        model.maxpool = nn.Identity()


def _build(base: str, keep_pool: bool = False, **kwargs: Any) -> nn.Module:
    model: nn.Module = timm.create_model(base, **kwargs)
    use_small_stem(model, keep_pool=keep_pool)
    return model


default_cfgs = generate_default_cfgs({"small_stem": {"input_size": (3, 32, 32)}})


@register_model
def small_stem(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Build the timm model `base` with a small stem; its weights come from a folder, by `local-dir:`."""
    model: nn.Module = build_model_with_cfg(_build, "small_stem", pretrained, **kwargs)
    return model
