"""Filters on normalized images, part of the input transform of an encoder."""

from typing import Literal

import torch
from torch import Tensor

from coarsecon.views.blur import high_pass

InputFilter = Literal["none", "high-pass"]


def apply_filter(name: InputFilter, images: Tensor) -> Tensor:
    """Apply the filter of an input transform to normalized images [N, 3, S, S]."""
    if name == "none":
        return images
    with torch.autocast(images.device.type, enabled=False):  # half precision is too coarse
        return high_pass(images)
