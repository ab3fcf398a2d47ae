"""Choose the images whose label would help most: uncertain ones that differ from each other."""

import torch
from torch import Tensor

POOL_FACTOR = 10
"""The images are chosen from this many times as many of the most uncertain ones."""


def suggest(features: Tensor, margins: Tensor, count: int) -> list[int]:
    """Choose images with a small margin, spread over the feature space.

    Of the `POOL_FACTOR * count` images with the smallest margins, greedy k-center selection (Gonzalez, 1985; core-set
    selection of Sener & Savarese, 2018) starts with the smallest and repeatedly adds the image farthest from all
    chosen ones. Margins only would choose many images of one difficult border.

    Args:
        features: Normalized features [N, D].
        margins: Difference [N] of the probabilities of the two most likely labels; NaN for images to leave out.
        count: Number of images, fewer where there are fewer.

    Returns:
        Row numbers, in the order of the choice.
    """
    allowed = (~margins.isnan()).nonzero().flatten()
    pool = allowed[margins[allowed].argsort(stable=True)[: POOL_FACTOR * count]]
    if not len(pool):
        return []
    rows = features[pool]
    chosen = [0]
    nearest = rows @ rows[0]
    nearest[0] = torch.inf
    while len(chosen) < min(count, len(pool)):
        farthest = int(nearest.argmin())
        chosen.append(farthest)
        nearest = torch.maximum(nearest, rows @ rows[farthest])
        nearest[farthest] = torch.inf
    return pool[torch.tensor(chosen)].tolist()
