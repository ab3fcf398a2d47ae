"""Hierarchical distance of the nearest neighbors: Bertinetto et al., Making Better Mistakes, CVPR 2020."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from coarsecon.metrics.retrieval import MetricValues

DISTANCE_KS = (1, 5, 10)
"""Numbers of neighbors over which the distance is averaged."""


def hierarchical_distances(
    values: Mapping[str, MetricValues], levels: Sequence[str], ks: Sequence[int] = DISTANCE_KS
) -> MetricValues:
    """Compute the mean height of the lowest common ancestor of each query and its k nearest items, as `distance@k`.

    The height is the number of levels at which the two classes differ, so its mean over k items is the sum of
    1 - precision@k over the levels. Ties and unknown labels of the gallery therefore count as they do for precision@k:
    equal scores put the item with the larger distance first, and an unknown class is another one.

    Args:
        values: Metrics of each query [Q] at each level, with `precision@k`.
        levels: Levels of the hierarchy. A query without a label of one of them has no distance (NaN).
        ks: Values of k.
    """
    return {f"distance@{k}": torch.stack([1 - values[level][f"precision@{k}"] for level in levels]).sum(0) for k in ks}


def height_counts(distances: Tensor, levels: int) -> list[int]:
    """Count the queries by the distance [Q] of their nearest item: 0, 1, ..., `levels`; NaN does not count."""
    heights = distances[~distances.isnan()].round().long()
    return heights.bincount(minlength=levels + 1).tolist()
