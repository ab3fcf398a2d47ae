"""k-means."""

from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from coarsecon.discovery.base import ByClass, ClusteringSettings, fitting
from coarsecon.discovery.features import average_with_neighbors, center

TEMPERATURE = 0.1
"""Temperature of the probabilities: softmax of the cosines with the means of the clusters."""


class KMeans(ByClass):
    """k-means, the solution of least inertia of several random initializations."""

    class Config(ClusteringSettings):
        """Settings of k-means."""

        restarts: int = Field(10, ge=1, description="Number of random initializations (restarts).")
        center: bool = Field(False, description="Subtract the mean of each coarse class and normalize again.")
        neighbors: int = Field(
            0, ge=0, description="Average each image with this number of nearest neighbors of its class first."
        )

    def fit_class(self, features: Tensor, k: int, *, seed: int) -> Tensor:
        """Return the softmax of the cosines with the means of the clusters; see `soft_assignment`."""
        rows = average_with_neighbors(features, self.config.neighbors)
        rows = center(rows) if self.config.center else rows
        with fitting():
            model = kmeans(rows.numpy(), k, self.config.restarts, seed)
        return soft_assignment(rows, torch.from_numpy(model.labels_).long(), k)


def kmeans(rows: NDArray[Any], k: int, restarts: int, seed: int) -> Any:
    """Return scikit-learn's fitted k-means of rows [M, D]."""
    from sklearn.cluster import KMeans as Fit

    return Fit(k, n_init=restarts, random_state=seed).fit(rows)


def soft_assignment(features: Tensor, clusters: Tensor, k: int) -> Tensor:
    """Return the probability [M, k] of each cluster for normalized features [M, D] with clusters [M].

    The softmax of the cosines with the means, where an image's own cluster is never less likely than another.
    """
    means = F.normalize(torch.zeros(k, features.shape[1]).index_add_(0, clusters, features), dim=1)
    cosines = features @ means.T
    own = F.one_hot(clusters, k).bool()
    cosines = torch.where(own, cosines.max(1, keepdim=True).values + 1e-4, cosines)  # no tie with another cluster
    return (cosines / TEMPERATURE).softmax(1)
