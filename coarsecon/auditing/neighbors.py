"""Neighbors of every image by the features of a run, without its near-duplicates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from coarsecon.auditing.confident import TEMPERATURE, Voters
from coarsecon.auditing.duplicates import Pairs
from coarsecon.runtime.progress import Reporter
from coarsecon.search.exact import nearest_others

SPARE_NEIGHBORS = 32
"""Neighbors found beyond those that vote, since near-duplicates among them are left out."""


@dataclass(frozen=True)
class FeatureNeighbors:
    """The nearest other images of N images, best first: cosines [N, K] and image numbers int64 [N, K]."""

    cosines: Tensor
    indices: Tensor

    def others(self, pairs: Pairs, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the `count` nearest that are not among the `pairs`: cosines [N, count] and numbers, -1 at the end."""
        indices, cosines = self.indices.numpy(), self.cosines.double().numpy()
        images = len(indices)
        listed = np.unique(np.concatenate([pairs.first * images + pairs.second, pairs.second * images + pairs.first]))
        codes = np.arange(images)[:, None] * images + indices
        is_other = ~np.isin(codes, listed) & (indices >= 0)
        order = np.argsort(~is_other, axis=1, kind="stable")[:, :count]
        chosen = np.take_along_axis(is_other, order, 1)
        return (
            np.where(chosen, np.take_along_axis(cosines, order, 1), np.nan),
            np.where(chosen, np.take_along_axis(indices, order, 1), -1),
        )


def find_neighbors(features: Tensor, k: int, reporter: Reporter) -> FeatureNeighbors:
    """Find `k` neighbors of each of features [N, D] among the others, and some more."""
    return FeatureNeighbors(*nearest_others(features, k + SPARE_NEIGHBORS, reporter))


def voters(cosines: NDArray[np.float64], indices: NDArray[np.int64]) -> Voters:
    """Weight neighbors [N, V] by exp(cosine / t); numbers of -1 have no weight."""
    return Voters(indices, np.where(indices >= 0, np.exp((np.nan_to_num(cosines) - 1) / TEMPERATURE), 0))


def neighbor_distances(cosines: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the mean of 1 - cosine over the first `count` neighbors [N, V], NaN where there is none."""
    first = 1 - cosines[:, :count]
    known = ~np.isnan(first)
    return np.divide(
        np.nansum(first, axis=1), known.sum(axis=1), out=np.full(len(first), np.nan), where=known.any(axis=1)
    )
