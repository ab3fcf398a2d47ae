"""Input transform of published weights: from the card or the configuration next to a file, else from timm."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import timm
from pydantic import ValidationError

from coarsecon.errors import InputError
from coarsecon.nn.backbone import SMALL_IMAGE_SIZE, check_name
from coarsecon.nn.encoder import EncoderCard, InputTransform, read_card
from coarsecon.runtime.documents import read_json_object
from coarsecon.views.geometry import ResizeMode

CROP_MODES: dict[str, ResizeMode] = {"center": "shorter", "squash": "square", "border": "square"}
"""Our `resize` for timm's crop_mode; the border that timm adds around a few models' images is left out."""

OPEN_CLIP_MODES = {"shortest": "center", "squash": "squash", "longest": "border"}
"""timm's crop_mode for open_clip's resize_mode."""

DEFAULTS: dict[str, Any] = {
    "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "interpolation": "bicubic",
    "crop_pct": 0.875, "crop_mode": "center", "input_size": (3, 224, 224),
}  # fmt: skip
"""Values that timm assumes where a configuration says nothing (timm.data.resolve_data_config)."""

CLIP_DEFAULTS: dict[str, Any] = {
    "mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711), "crop_pct": 1.0,
}  # fmt: skip
"""Values that open_clip assumes: images of CLIP, whose shorter side is resized to the size of the tower."""

FIX_OR_MOVE = "fix or move it"


class PublishedTransform(NamedTuple):
    """An input transform, and the file or timm configuration that it comes from."""

    transform: InputTransform
    origin: str


def find_published_transform(name: str, size: int | None = None, file: Path | None = None) -> PublishedTransform:
    """Return the input transform of a timm model's weights (statistics, interpolation and crop) and its origin.

    Images of up to 64 px stay complete, because they are prepared as squares.

    Args:
        name: Name of a timm model, with or without the name of its weights.
        size: Image size in pixels (default: that of the weights).
        file: File with the weights, if they are not timm's. A card (`encoder.json`), a timm or Hugging Face
            `config.json`, or an `open_clip_config.json` next to it takes precedence over timm's configuration of the
            model.

    Raises:
        InputError: There is no such model, a file next to the weights is malformed, or the weights are for images
            that are not square and no size is given.
    """
    described = None
    if file is not None:
        described = _from_card(file, size) or _from_config(file, size) or _from_open_clip(file, size)
    transform, origin = described or _from_name(name, size)
    return PublishedTransform(transform.uncropped() if transform.size <= SMALL_IMAGE_SIZE else transform, origin)


def find_card(file: Path) -> tuple[EncoderCard, Path] | None:
    """Return the card of the encoder in a file of weights, and the card's path; None if there is none.

    It has the name of the weights with the suffix .json, or is called `encoder.json`.

    Raises:
        InputError: `encoder.json` is no card.
    """
    own, usual = file.with_suffix(".json"), file.with_name("encoder.json")
    if own != usual:
        with contextlib.suppress(InputError, FileNotFoundError):  # another project's file may have this name
            return read_card(own), own
    return (read_card(usual), usual) if usual.is_file() else None


def _from_card(file: Path, size: int | None) -> PublishedTransform | None:
    found = find_card(file)
    if found is None:
        return None
    card, path = found
    return PublishedTransform(card.input.model_copy(update={"size": size or card.input.size}), str(path))


def _from_config(file: Path, size: int | None) -> PublishedTransform | None:
    """Read timm's `config.json` next to the weights; other projects' files of that name say nothing about images."""
    path = file.with_name("config.json")
    if not path.is_file():
        return None
    content = read_json_object(path, remedy=FIX_OR_MOVE)
    published = content.get("pretrained_cfg", content)  # early versions of timm had no such section
    if not isinstance(published, dict) or "mean" not in published:
        return None
    return PublishedTransform(_from_timm(published, size, str(path), "these weights"), str(path))


def _from_open_clip(file: Path, size: int | None) -> PublishedTransform | None:
    """Read open_clip's `open_clip_config.json` next to the weights of a vision tower."""
    path = file.with_name("open_clip_config.json")
    if not path.is_file():
        return None
    content = read_json_object(path, remedy=FIX_OR_MOVE)
    try:
        image_size = content["model_cfg"]["vision_cfg"]["image_size"]
        described = dict(content["preprocess_cfg"])
        described["crop_mode"] = OPEN_CLIP_MODES[described.get("resize_mode") or "shortest"]
    except (KeyError, TypeError, ValueError) as error:
        problem = f"has no usable input transform ({type(error).__name__}: {error})"
        raise InputError(path, problem, FIX_OR_MOVE) from None
    published = {**CLIP_DEFAULTS, **described, "input_size": (3, image_size, image_size)}
    return PublishedTransform(_from_timm(published, size, str(path), "this tower"), str(path))


def _from_name(name: str, size: int | None) -> PublishedTransform:
    check_name(name)
    published = timm.models.get_pretrained_cfg(name)
    assert published is not None
    tag = f".{published.tag}" if published.tag and "." not in name else ""
    transform = _from_timm(vars(published), size, "backbone.name", name)
    return PublishedTransform(transform, f"timm's configuration of {name}{tag}")


def _from_timm(published: Mapping[str, Any], size: int | None, subject: str, name: str) -> InputTransform:
    """Convert timm's `pretrained_cfg`, with timm's defaults for what it leaves out.

    A few weights have a `crop_pct` above 1, for which timm adds a black border; they get the complete image instead.
    """
    known = {**DEFAULTS, **{key: value for key, value in published.items() if value is not None}}
    try:
        *_, height, width = known["input_size"]
        if size is None and height != width:
            problem = f"{name} expects images of {height} x {width} px, which are not square"
            raise InputError(subject, problem, "set size")
        return InputTransform(
            size=size or height,
            mean=_channels(known["mean"]),
            std=_channels(known["std"]),
            resize=CROP_MODES[known["crop_mode"]],
            interpolation=known["interpolation"] if known["interpolation"] == "bilinear" else "bicubic",
            crop_pct=min(float(known["crop_pct"]), 1.0),
        )
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(subject, f"has no usable input transform ({reason})", FIX_OR_MOVE) from None


def _channels(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue
