"""Features of one coarse class, prepared for clustering."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coarsecon.search.exact import l2_normalize

MAX_COMPONENTS = 32
"""Principal components of a class that the estimate of the number of clusters and the mixture use; the others are
noise."""


def center(features: Tensor) -> Tensor:
    """Subtract the mean of normalized features [M, D] and normalize again: what the images of a class share goes.

    Images at the mean itself stay zero.
    """
    return l2_normalize(features - features.mean(0))


def nearest_neighbors(features: Tensor, count: int, *, block: int = 4096) -> Tensor:
    """Return the indices [M, k] of the nearest other images of normalized features [M, D]; k is at most M - 1."""
    k = min(count, len(features) - 1)
    found = []
    for start in range(0, len(features), block):
        cosines = features[start : start + block] @ features.T
        cosines[torch.arange(len(cosines)), torch.arange(start, start + len(cosines))] = -torch.inf
        found.append(cosines.topk(k, dim=1).indices)
    return torch.cat(found)


def average_with_neighbors(features: Tensor, count: int) -> Tensor:
    """Average each of normalized features [M, D] with the mean of its `count` nearest, and normalize again.

    One step of diffusion on the graph of neighbors, which contracts dense regions.
    """
    if count == 0 or len(features) < 2:
        return features
    neighbors = nearest_neighbors(features, count)
    means = torch.cat([features[block].mean(1) for block in neighbors.split(1024)])
    return l2_normalize((features + means) / 2)


def whiten(classes: Sequence[Tensor], within: Tensor, *, components: int, shrinkage: float) -> list[Tensor]:
    """Project features [M, D] of every class to where they vary most in units of the scatter `within` [D, D].

    The linear discriminants of Fisher (1936) with the images of a class as one population: each class is centered,
    and the result [M, C] is normalized.

    Args:
        classes: Normalized features of each class.
        within: Scatter of what should not distinguish images, from `neighbor_scatter` or `cluster_scatter`.
        components: Directions C, at most D.
        shrinkage: Weight of the mean variance of `within` that is added to all directions.
    """
    dim = len(within)
    centered = [features - features.mean(0) for features in classes]
    total = sum(rows.T @ rows for rows in centered) / sum(map(len, centered))
    values, vectors = torch.linalg.eigh(within + (shrinkage * within.trace() / dim + 1e-12) * torch.eye(dim))
    root = vectors * values.clamp_min(1e-12).rsqrt() @ vectors.T
    directions = root @ torch.linalg.eigh(root @ total @ root).eigenvectors[:, -components:]
    return [l2_normalize(rows @ directions) for rows in centered]


def neighbor_scatter(classes: Sequence[Tensor], count: int = 10) -> Tensor:
    """Return the mean scatter [D, D] of normalized features [M, D] around their nearest neighbors in their class.

    Neighbors mostly show the same kind, so that their differences are what varies inside a kind: pose, background,
    light.
    """
    scatter, pairs = torch.zeros(classes[0].shape[1], classes[0].shape[1]), 0
    for features in classes:
        if len(features) < 2:
            continue
        neighbors = nearest_neighbors(features, count)
        for rows, near in zip(features.split(1024), neighbors.split(1024), strict=True):
            differences = (rows[:, None] - features[near]).flatten(0, 1)
            scatter += differences.T @ differences
            pairs += len(differences)
    return scatter / max(pairs, 1)


def cluster_scatter(classes: Sequence[Tensor], clusters: Sequence[Tensor]) -> Tensor:
    """Return the mean scatter [D, D] of features [M, D] around the means of their clusters [M]."""
    scatter = torch.zeros(classes[0].shape[1], classes[0].shape[1])
    for features, own in zip(classes, clusters, strict=True):
        for cluster in own.unique():
            rows = features[own == cluster]
            rows = rows - rows.mean(0)
            scatter += rows.T @ rows
    return scatter / sum(map(len, classes))


def principal_components(rows: NDArray[Any], count: int = MAX_COMPONENTS) -> NDArray[Any]:
    """Return the coordinates [M, min(D, count)] of features [M, D] along their first principal components."""
    centered = rows - rows.mean(0)
    if centered.shape[1] <= count:
        return centered
    _, vectors = np.linalg.eigh(centered.T @ centered)
    return np.ascontiguousarray(centered @ vectors[:, : -count - 1 : -1])
