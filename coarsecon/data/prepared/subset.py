"""Draw a part of a training split that represents all of its classes."""

import numpy as np
import torch
from torch import Tensor


def draw_evenly(labels: Tensor, count: int, seed: int) -> Tensor:
    """Draw `count` images evenly over the classes.

    The classes take turns, each giving one of its images at random, until `count` are drawn; a small class that has
    given all of its images is passed over. A larger `count` with the same seed adds images and drops none.

    Args:
        labels: int64 [N]; -1 (unknown) counts as one more class.
        count: Number of images; N or more draws all of them.
        seed: Seed of the draw.

    Returns:
        Ascending indices int64 [min(count, N)].
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    shuffled = labels.numpy()[order]
    by_class = np.argsort(shuffled, kind="stable")
    _, starts, sizes = np.unique(shuffled[by_class], return_index=True, return_counts=True)
    turns = np.empty(len(labels), np.int64)
    turns[by_class] = np.arange(len(labels)) - np.repeat(starts, sizes)
    return torch.from_numpy(np.sort(order[np.argsort(turns, kind="stable")[:count]]))
