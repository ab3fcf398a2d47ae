"""Filters on normalised images that an encoder may expect; they belong to its input recipe."""

from typing import Literal

from torch import Tensor

from coarsecon.views.blur import high_pass

InputFilter = Literal["none", "high-pass"]


def apply_filter(name: InputFilter, images: Tensor) -> Tensor:
    """Normalised images [N, 3, S, S] as an encoder with that filter in its input recipe expects them."""
    return high_pass(images) if name == "high-pass" else images
