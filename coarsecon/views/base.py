"""Definition of a view: a crop to a square, a list of operations, and normalization."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from coarsecon.views.batch import ImageBatch
from coarsecon.views.batched import constant

Crop = Callable[[ImageBatch, int, torch.Generator], Tensor]
"""(batch, size, generator) -> float32 [N, 3, size, size] in 0..255."""

Op = Callable[[Tensor, torch.Generator], Tensor]
"""float32 [N, 3, S, S] in 0..255 -> the same, without changing the input; an op on 8-bit values rounds it first."""


@dataclass(frozen=True)
class View:
    """Transform of a batch of images to normalized squares of `size` pixels, with separate draws per sample.

    `mean` and `std` are those of the three channels on a scale of 0..1. The generator is on the device of the
    batch, and determines the views. It may be None if neither crop nor ops draw.
    """

    size: int
    mean: Sequence[float]
    std: Sequence[float]
    crop: Crop
    ops: Sequence[Op] = ()

    def __call__(self, batch: ImageBatch, generator: torch.Generator | None = None) -> Tensor:
        """Return the view, float32 [N, 3, size, size], normalized."""
        device = batch.pixels.device
        mean = constant(tuple(self.mean), device)[:, None, None]
        std = constant(tuple(self.std), device)[:, None, None]
        return self.pixels(batch, generator).sub(255 * mean).div_(255 * std)

    @torch.no_grad()
    def pixels(self, batch: ImageBatch, generator: torch.Generator | None = None) -> Tensor:
        """Return the view before normalization, float32 [N, 3, size, size] in 0..255, for display."""
        generator = cast(torch.Generator, generator)
        with torch.autocast(batch.pixels.device.type, enabled=False):  # half precision is too coarse
            images = self.crop(batch, self.size, generator)
            for op in self.ops:
                images = op(images, generator)
        return images
