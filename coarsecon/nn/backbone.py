"""Backbones: any timm model, with a stem for small images and weights only when asked for."""

import difflib
import sys
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import load_state_dict
from torch import Tensor, nn

from coarsecon.config import BackboneSettings
from coarsecon.errors import CoarseconError, InputError
from coarsecon.nn import resnet12  # noqa: F401  registers it with timm
from coarsecon.nn.batch_norm import split_batch_norm
from coarsecon.nn.small_stem import first_convolution, names_a_convolution, use_small_stem

SMALL_SIDE = 64


def create_backbone(settings: BackboneSettings, side: int) -> nn.Module:
    """The network [N, 3, side, side] -> [N, feature_dim(network)], without classifier.

    Raises:
        InputError: no such model, wrong arguments, or weights that do not fit.
        CoarseconError: pretrained weights were asked for and cannot be fetched.
    """
    model = _create(settings, side)
    stem = resolve_stem(settings, side).stem
    if stem != "standard":
        if first_convolution(model) is None:
            raise InputError(f"backbone.stem: {settings.name} has no convolutional stem to make small; use standard")
        use_small_stem(model, keep_pool=stem == "small-pool")
    if settings.weights is not None:
        load_weights(model, settings.weights)
    if settings.batch_norm_splits > 1:
        split_batch_norm(model, settings.batch_norm_splits)
    return model


def resolve_stem(settings: BackboneSettings, side: int) -> BackboneSettings:
    """The settings with `stem: auto` replaced by what it means for this model and images of this side."""
    if settings.stem != "auto":
        return settings
    has_one = names_a_convolution(_published(settings.name, "first_conv"))
    return settings.model_copy(update={"stem": "small" if has_one and side <= SMALL_SIDE else "standard"})


def _create(settings: BackboneSettings, side: int) -> nn.Module:
    if not timm.is_model(settings.name):
        near = difflib.get_close_matches(settings.name, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "see timm.list_models()."
        raise InputError(f"backbone.name: timm has no model called {settings.name!r}; {hint}")
    args = model_args(settings, side)
    try:
        return timm.create_model(settings.name, pretrained=settings.pretrained, num_classes=0, **args)
    except TypeError as error:
        raise InputError(f"backbone.args: {settings.name} does not take them ({error})") from None
    except Exception as error:
        if not settings.pretrained:
            raise InputError(f"backbone: {settings.name} cannot be built ({error})") from error
        raise CoarseconError(
            f"backbone.pretrained: the weights of {settings.name} cannot be fetched ({type(error).__name__}). "
            "Fetch them elsewhere and pass the file with --init-from, or leave pretrained off."
        ) from error


def model_args(settings: BackboneSettings, side: int) -> dict[str, Any]:
    """What `timm.create_model` is given besides the name, the stem not among it."""
    needs_side = _published(settings.name, "fixed_input_size")
    return {**({"img_size": side} if needs_side else {}), **settings.args}


def _published(name: str, value: str) -> Any:
    """What timm keeps about a model; None where it knows nothing."""
    return getattr(timm.models.get_pretrained_cfg(name), value, None)


def feature_dim(model: Any) -> int:
    """The width of the pooled features of a timm model."""
    return int(getattr(model, "head_hidden_size", None) or model.num_features)


def load_weights(model: nn.Module, path: Path, *, fresh_stem: bool = True) -> None:
    """Load a file of weights; a classifier's weights are left out.

    Position embeddings are resized to the model's side. With `fresh_stem` a first convolution of another shape keeps
    the weights it was drawn with.

    Raises:
        InputError: the file is missing, is not a plain state dict, or leaves other layers without weights.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights")
    try:
        state: dict[str, Tensor] = _adapted(load_state_dict(str(path), use_ema=False, weights_only=True), model)
    except Exception as error:
        raise InputError(f"{path}: not a file of weights that can be loaded safely ({type(error).__name__})") from None
    own = model.state_dict()
    stem = f"{first_convolution(model)}.weight"
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    missing = [name for name in own if name not in fitting and not (fresh_stem and name == stem)]
    if missing:
        raise InputError(
            f"{path}: does not fit the backbone: {len(missing)} of {len(own)} entries are missing or of another shape "
            f"({', '.join(missing[:3])}, ...)"
        )
    model.load_state_dict(fitting, strict=False)


def _adapted(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """As timm adapts published weights: a transformer's position embeddings to another side, its authors' names."""
    adapt = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    return adapt(state, model) if adapt else state


@torch.no_grad()
def embed(model: nn.Module, images: Tensor) -> Tensor:
    """Pooled features [N, D] of normalised images [N, 3, S, S], L2-normalised float32."""
    return nn.functional.normalize(model(images).float(), dim=1)
