"""Filters on normalised images that an encoder may expect; they belong to its input transform."""

from typing import Literal

import torch
from torch import Tensor

from coarsecon.views.blur import high_pass

InputFilter = Literal["none", "high-pass"]


def apply_filter(name: InputFilter, images: Tensor) -> Tensor:
    """Normalised images [N, 3, S, S] as an encoder with that filter in its input transform expects them."""
    if name == "none":
        return images
    with torch.autocast(images.device.type, enabled=False):  # half precision is too coarse
        return high_pass(images)
