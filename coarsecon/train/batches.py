"""Which images make up which batch, and the random numbers of each step: all pure functions of (seed, place)."""

import numpy as np
import torch
from torch import Tensor

ORDER, VIEWS, FILLING, NOISE, SUBSET = range(5)

PIXELS_AT_ONCE = 2**22
"""Pixels of the views that are drawn together, 50 MB of each kind: 4096 images at 32 px."""


def derived_seed(seed: int, purpose: int, *place: int) -> int:
    """A seed for one purpose (`ORDER`, `VIEWS`, ...) at one place (epoch or step, rank) of a run."""
    return int(np.random.SeedSequence([seed, purpose, *place]).generate_state(1, np.uint64)[0] >> 1)


def step_generator(seed: int, purpose: int, step: int, rank: int, device: torch.device) -> torch.Generator:
    """The generator of a step's views. Global randomness is seeded alongside, to other numbers.

    Since a step's random numbers depend on nothing but its place, a resumed run draws what it would have drawn.
    """
    seed_step(seed, purpose, step, rank)
    return torch.Generator(device).manual_seed(derived_seed(seed, purpose, step, rank))


def seed_step(seed: int, purpose: int, step: int, rank: int) -> None:
    """Seed the global randomness of a step: dropout, masks."""
    torch.manual_seed(derived_seed(seed, NOISE, purpose, step, rank))


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
