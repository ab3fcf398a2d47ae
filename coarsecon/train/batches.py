"""The images of each batch, as pure functions of the seed and the epoch."""

import torch
from torch import Tensor

from coarsecon.runtime.seeds import ORDER, derived_seed

MAX_VIEW_PIXELS = 2**22
"""Pixels of the views that are drawn together: 50 MB of each view, 4096 images at 32 px."""


def steps_at_once(batch_size: int, image_size: int, device: torch.device) -> int:
    """Return the number of steps whose views are drawn together.

    Views are about a hundred small operations, and an accelerator launches one as fast for many images as for few; on
    the CPU, fewer images stay in its caches.
    """
    return 1 if device.type == "cpu" else max(1, MAX_VIEW_PIXELS // (batch_size * image_size**2))


def epoch_batches(images: int, batch_size: int, *, seed: int, epoch: int, purpose: int = ORDER) -> list[Tensor]:
    """Return the shuffled image indices of every full batch of an epoch; an incomplete last batch is dropped."""
    generator = torch.Generator().manual_seed(derived_seed(seed, purpose, epoch))
    order = torch.randperm(images, generator=generator)
    return list(order[: images // batch_size * batch_size].view(-1, batch_size))
