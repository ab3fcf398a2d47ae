"""Seeds of each part of a run: pure functions of (seed, purpose, place)."""

import numpy as np
import torch

ORDER, VIEWS, FILLING, NOISE, SUBSET, VALIDATION = range(6)
"""Purposes of random numbers; each has a separate stream."""


def derived_seed(seed: int, purpose: int, *place: int) -> int:
    """Derive a seed for one purpose (`ORDER`, `VIEWS`, ...) at one place (epoch or step, rank) of a run."""
    return int(np.random.SeedSequence([seed, purpose, *place]).generate_state(1, np.uint64)[0] >> 1)


def step_generator(seed: int, purpose: int, step: int, rank: int, device: torch.device) -> torch.Generator:
    """Seed the generator of the views of a step, and global randomness with another seed.

    The random numbers of a step depend only on its place, so a resumed run draws the same ones.
    """
    seed_step(seed, purpose, step, rank)
    return torch.Generator(device).manual_seed(derived_seed(seed, purpose, step, rank))


def seed_step(seed: int, purpose: int, step: int, rank: int) -> None:
    """Seed the global randomness of a step: dropout, masks."""
    torch.manual_seed(derived_seed(seed, NOISE, purpose, step, rank))
