"""Derive the random numbers of each part of a run from its seed: pure functions of (seed, purpose, place)."""

import numpy as np
import torch

ORDER, VIEWS, FILLING, NOISE, SUBSET = range(5)
"""Purposes of random numbers; each has a stream of its own."""


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
