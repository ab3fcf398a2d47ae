"""View presets: the views that the papers train and test with, by name."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from coarsecon.errors import InputError
from coarsecon.views.autoaugment import AutoAugment
from coarsecon.views.base import Op, View
from coarsecon.views.blur import RandomGaussianBlur
from coarsecon.views.color import ColorJitter, RandomGrayscale
from coarsecon.views.geometry import (
    Interpolation,
    RandomFlip,
    RandomPerspective,
    RandomResizedCrop,
    Resize,
)

CROP = RandomResizedCrop(scale=(0.2, 1.0))
CROP_FLIP = RandomResizedCrop(scale=(0.2, 1.0), flip=0.5)
FLIP = RandomFlip(0.5)
PERSPECTIVE = RandomPerspective(0.5, p=0.5)
JITTER = ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8)
GRAY = RandomGrayscale(0.2)
BLUR = RandomGaussianBlur((0.1, 2.0), p=0.5)

PRESETS: dict[str, tuple[RandomResizedCrop | Resize, Sequence[Op]]] = {
    "weak": (CROP_FLIP, []),
    "weak-perspective": (CROP, [PERSPECTIVE, FLIP]),
    "perspective": (CROP_FLIP, [PERSPECTIVE]),
    "autoaugment": (CROP_FLIP, [AutoAugment()]),
    "cars": (CROP_FLIP, [PERSPECTIVE, JITTER, GRAY, BLUR]),
    "simclr": (CROP_FLIP, [JITTER, GRAY]),
    "simclr-blur": (CROP_FLIP, [JITTER, GRAY, BLUR]),
    "test": (Resize(), []),
}
VIEW_NAMES = tuple(PRESETS)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, VIEW_NAMES, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown view preset {name!r}; {hint}known: {', '.join(VIEW_NAMES)}"


def _known(name: str) -> str:
    if name != "auto" and name not in PRESETS:
        raise PydanticCustomError("view", "{problem}", {"problem": _unknown(name)})
    return name


ViewName = Annotated[str, AfterValidator(_known)]
"""A setting that names a view preset, or `auto` for the default of the method."""


def make_view(
    name: str,
    *,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    interpolation: Interpolation = "bilinear",
) -> View:
    """Build the view of that preset at `size` pixels; `mean` and `std` of the channels are on a scale of 0..1.

    Raises:
        InputError: There is no such preset.
    """
    if name not in PRESETS:
        raise InputError("view", _unknown(name))
    crop, ops = PRESETS[name]
    return View(size, mean, std, replace(crop, interpolation=interpolation), ops)


def default_views(size: int) -> tuple[str, str]:
    """Return the presets of MaskCon's (query, key) views: strong and weak, for small images or for large ones."""
    return ("autoaugment", "weak") if size <= 64 else ("cars", "weak-perspective")
