"""A batch of images on the device: 8-bit pixels, with a size per image."""

from typing import NamedTuple

import torch
from torch import Tensor


class ImageBatch(NamedTuple):
    """`pixels` uint8 [N, 3, H, W], zero-padded at the bottom and right; `sizes` int64 [N, 2]: height, width."""

    pixels: Tensor
    sizes: Tensor

    @classmethod
    def full(cls, pixels: Tensor) -> "ImageBatch":
        """Make a batch whose images all fill `pixels` [N, 3, H, W]."""
        size = torch.tensor(pixels.shape[-2:]).to(pixels.device, non_blocking=True)
        return cls(pixels, size.expand(len(pixels), 2))

    def to(self, device: torch.device | str) -> "ImageBatch":
        """Copy the batch to `device`."""
        return ImageBatch(self.pixels.to(device, non_blocking=True), self.sizes.to(device, non_blocking=True))

    def __len__(self) -> int:
        return self.pixels.shape[0]
