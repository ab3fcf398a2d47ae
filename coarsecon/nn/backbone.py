"""Backbones: any timm model, optionally with a stem for small images and initial weights."""

import difflib
from collections.abc import Callable
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed
from torch import Tensor, nn

from coarsecon.config import BackboneSettings
from coarsecon.errors import CoarseconError, InputError
from coarsecon.nn import resnet12  # noqa: F401  registers it with timm
from coarsecon.nn.arguments import MODEL_NAME, check_arguments
from coarsecon.nn.batch_norm import split_batch_norm
from coarsecon.nn.pooling import set_pooling
from coarsecon.nn.small_stem import first_convolution, names_a_convolution, use_small_stem
from coarsecon.nn.weights import LoadedWeights, keep_weights, load_weights

SMALL_IMAGE_SIZE = 64
"""Maximum size in pixels of images that get a small stem."""


def create_backbone(
    settings: BackboneSettings, image_size: int, on_weights: Callable[[LoadedWeights], None] | None = None
) -> nn.Module:
    """Build the network [N, 3, S, S] -> [N, feature_dim(network)], without classifier.

    Args:
        settings: Settings of the backbone.
        image_size: S in pixels.
        on_weights: Called with the loaded weights, if the network starts from a checkpoint or timm's weights.

    Raises:
        InputError: There is no such model, its arguments are wrong, or the weights do not fit.
        CoarseconError: Pretrained weights cannot be downloaded.
    """
    model = _create(settings, image_size)
    published = model.state_dict()
    stem = resolve_stem(settings, image_size).stem
    if stem != "standard":
        if first_convolution(model) is None:
            raise InputError(
                "backbone.stem", f"{settings.name} has no convolutional stem to make small", "use standard"
            )
        use_small_stem(model, keep_pool=stem == "small-pool", he_normal=settings.init != "maskcon")
    if settings.init != "timm" and not settings.pretrained and "zero_init_last" not in settings.args:
        reset_zero_scales(model)
    loaded = None
    if settings.weights_key is not None and settings.weights is None:
        raise InputError("backbone.weights_key", "needs a checkpoint", "set backbone.weights")
    if settings.weights is not None:
        loaded = load_weights(model, settings.weights, key=settings.weights_key)
    elif settings.pretrained:
        loaded = keep_weights(model, published, f"timm's {settings.name}")
    if loaded is not None and on_weights is not None:
        on_weights(loaded)
    if settings.pooling is not None:
        set_pooling(model, settings.pooling)
    if settings.batch_norm_splits > 1:
        split_batch_norm(model, settings.batch_norm_splits)
    return model


@torch.no_grad()
def reset_zero_scales(model: nn.Module) -> None:
    """Set to 1 the batch-norm scales at the end of residual branches, which timm initializes with 0."""
    for module in model.modules():
        if (
            isinstance(module, nn.modules.batchnorm._BatchNorm)
            and module.weight is not None
            and not module.weight.any()
        ):
            nn.init.ones_(module.weight)


def resolve_stem(settings: BackboneSettings, image_size: int) -> BackboneSettings:
    """Replace `stem: auto` by the stem for this model and image size."""
    if settings.stem != "auto":
        return settings
    check_name(settings.name)
    # A network that is built for a fixed image size expects the feature map of its standard stem.
    has_one = names_a_convolution(_published(settings.name, "first_conv")) and not _has_fixed_image_size(settings.name)
    return settings.model_copy(update={"stem": "small" if has_one and image_size <= SMALL_IMAGE_SIZE else "standard"})


def check_name(name: str) -> None:
    """Check that timm has a model of that name, and weights of that tag if it has one.

    Raises:
        InputError: It has none.
    """
    if not (MODEL_NAME.fullmatch(name) and timm.is_model(name)):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them"
        raise InputError("backbone.name", f"timm has no model called {name!r}", hint)
    try:
        timm.models.get_pretrained_cfg(name)
    except RuntimeError:
        architecture, _, tag = name.partition(".")
        known = [each.partition(".")[2] for each in timm.list_pretrained(f"{architecture}.*")]
        hint = f"its weights are called {', '.join(known)}" if known else f"use {architecture}"
        raise InputError("backbone.name", f"timm has no weights {tag!r} of {architecture}", hint) from None


def _create(settings: BackboneSettings, image_size: int) -> nn.Module:
    check_name(settings.name)
    check_arguments(settings.name, settings.args)
    args = model_args(settings, image_size)
    try:
        return timm.create_model(settings.name, pretrained=settings.pretrained, num_classes=0, **args)
    except TypeError as error:
        raise InputError("backbone.args", f"{settings.name} does not take them ({error})") from None
    except Exception as error:
        if not settings.pretrained:
            problem = f"{settings.name} cannot be built for images of {image_size} px ({_first_line(error)})"
            raise InputError("backbone.name", problem, _image_size_hint(settings.name)) from error
        raise CoarseconError(
            "backbone.pretrained",
            f"the weights of {settings.name} cannot be downloaded ({type(error).__name__})",
            "download them on another machine and set backbone.weights to the file, or unset backbone.pretrained",
        ) from error


def model_args(settings: BackboneSettings, image_size: int) -> dict[str, Any]:
    """Return the arguments of `timm.create_model` except the name; the stem is not one of them.

    Raises:
        InputError: They ask for images that are not square.
    """
    asked = settings.args.get("img_size")
    if isinstance(asked, list | tuple) and len(set(asked)) > 1:
        problem = f"img_size {' x '.join(map(str, asked))} is not square, and inputs are"
        raise InputError("backbone.args", problem, "remove img_size, and set data.size to the image size")
    return {**({"img_size": image_size} if _has_fixed_image_size(settings.name) else {}), **settings.args}


def _has_fixed_image_size(name: str) -> bool:
    return bool(_published(name, "fixed_input_size"))


def _published(name: str, value: str) -> Any:
    """Return a value of timm's configuration of a model, or None."""
    return getattr(timm.models.get_pretrained_cfg(name), value, None)


def feature_dim(model: Any) -> int:
    """Return the dimension of the pooled features of a timm model."""
    return int(getattr(model, "head_hidden_size", None) or model.num_features)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _image_size_hint(name: str) -> str:
    """Suggest image sizes for a network that cannot take the given one."""
    published = _published(name, "input_size")
    usual = f"; timm's weights are for {published[-1]} px" if published else ""
    return f"set data.size to another size (a multiple of 32 suits most networks{usual}), or choose another backbone"


@torch.no_grad()
def check_image_size(model: nn.Module, image_size: int) -> None:
    """Check a network on one image of this size; its mode and weights are unchanged.

    Raises:
        InputError: Its patches do not divide the image, it cannot take the image, or it does not return features
            [1, feature_dim].
    """
    cfg: dict[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    name, training = str(cfg.get("architecture") or type(model).__name__), model.training
    _check_patches(model, image_size, name)
    model.eval()
    try:
        shape = getattr(model(torch.zeros(1, 3, image_size, image_size)), "shape", None)
    except Exception as error:  # networks check their images in different ways, or not at all
        problem = f"{name} takes no images of {image_size} px ({_first_line(error)})"
        raise InputError("backbone.name", problem, _image_size_hint(name)) from error
    finally:
        model.train(training)
    if shape != (1, feature_dim(model)):
        raise InputError(
            "backbone.args",
            f"{name} returns {list(shape) if shape else 'no tensor'} for an image instead of [1, {feature_dim(model)}]",
            "set them so that it pools its features, or choose another backbone",
        )


def patch_size(model: nn.Module) -> int:
    """Return the size in pixels that images must be a multiple of: that of a transformer's patches, else 1."""
    patches = getattr(model, "patch_embed", None)
    return max(patches.patch_size) if isinstance(patches, PatchEmbed) and not patches.dynamic_img_pad else 1


def _check_patches(model: nn.Module, image_size: int, name: str) -> None:
    """Refuse an image size that is no multiple of the patch size: timm would ignore the pixels at the border."""
    patch = patch_size(model)
    below = image_size // patch * patch
    if below < image_size:
        problem = f"{image_size} px is not divisible by the patch size of {name} ({patch} px)"
        nearest = f"{below} or {below + patch}" if below else f"{patch}"
        raise InputError("data.size", problem, f"set data.size to {nearest}")


@torch.no_grad()
def embed(model: nn.Module, images: Tensor) -> Tensor:
    """Compute pooled features [N, D] of normalized images [N, 3, S, S], L2-normalized float32."""
    return nn.functional.normalize(model(images).float(), dim=1)
