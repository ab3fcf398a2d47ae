"""What a view is: a crop to a square, a list of operations, and the normalisation the network expects."""

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
"""float32 [N, 3, S, S] in 0..255 -> the same, the input untouched; an op on 8-bit values rounds on entry."""


@dataclass(frozen=True)
class View:
    """Turns a batch of images into normalised squares of `size` pixels, with its own draws for every sample.

    `mean` and `std` are those of the three channels on a scale of 0..1. The generator is on the device of the
    batch; the same state of it gives the same views. It may be None where neither crop nor ops draw.
    """

    size: int
    mean: Sequence[float]
    std: Sequence[float]
    crop: Crop
    ops: Sequence[Op] = ()

    def __call__(self, batch: ImageBatch, generator: torch.Generator | None = None) -> Tensor:
        """float32 [N, 3, size, size], normalised."""
        device = batch.pixels.device
        mean = constant(tuple(self.mean), device)[:, None, None]
        std = constant(tuple(self.std), device)[:, None, None]
        return self.pixels(batch, generator).sub(255 * mean).div_(255 * std)

    @torch.no_grad()
    def pixels(self, batch: ImageBatch, generator: torch.Generator | None = None) -> Tensor:
        """The view before normalisation, float32 [N, 3, size, size] in 0..255, to be looked at."""
        generator = cast(torch.Generator, generator)
        with torch.autocast(batch.pixels.device.type, enabled=False):  # half precision is too coarse
            images = self.crop(batch, self.size, generator)
            for op in self.ops:
                images = op(images, generator)
        return images
