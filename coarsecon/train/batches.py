"""Which images make up which batch: pure functions of the seed and the epoch."""

import torch
from torch import Tensor

from coarsecon.runtime.seeds import ORDER, derived_seed

PIXELS_AT_ONCE = 2**22
"""Pixels of the views that are drawn together, 50 MB of each kind: 4096 images at 32 px."""


def steps_at_once(batch_size: int, side: int, device: torch.device) -> int:
    """For how many steps views of `side` pixels are drawn together.

    Views are some hundred small operations, and starting one takes an accelerator as long for many images as for
    few; on the CPU fewer images stay in its caches.
    """
    return 1 if device.type == "cpu" else max(1, PIXELS_AT_ONCE // (batch_size * side * side))


def epoch_batches(images: int, batch_size: int, *, seed: int, epoch: int, purpose: int = ORDER) -> list[Tensor]:
    """The image indices of every full batch of an epoch, shuffled; the incomplete last batch is dropped."""
    generator = torch.Generator().manual_seed(derived_seed(seed, purpose, epoch))
    order = torch.randperm(images, generator=generator)
    return list(order[: images // batch_size * batch_size].view(-1, batch_size))
