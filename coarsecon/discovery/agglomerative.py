"""Agglomerative clustering with average linkage."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from coarsecon.discovery.base import ByClass, ClusteringSettings, fitting
from coarsecon.discovery.features import average_with_neighbors
from coarsecon.discovery.kmeans import kmeans, soft_assignment

PARTS = 400
"""Parts that a larger class is first divided into by k-means, so that the pairwise distances fit into memory."""


class Agglomerative(ByClass):
    """Average-linkage clustering of cosine distances, cut where the wanted number of large clusters appears."""

    class Config(ClusteringSettings):
        """Settings of agglomerative clustering."""

        neighbors: int = Field(
            5, ge=0, description="Average each image with this number of nearest neighbors of its class first."
        )
        min_share: float = Field(
            0.02, ge=0, lt=1, description="Minimum fraction of the class in a cluster; the images of smaller ones "
            "join the nearest large one."
        )  # fmt: skip

    def fit_class(self, features: Tensor, k: int, *, seed: int) -> Tensor:
        """Cut the dendrogram at k clusters, and return the softmax of the cosines with their means."""
        rows = average_with_neighbors(features, self.config.neighbors)
        tree, parts = dendrogram(rows, seed)
        return soft_assignment(rows, _cut(rows, tree, parts, k, self.config.min_share), k)


def dendrogram(features: Tensor, seed: int = 0) -> tuple[NDArray[np.float64], Tensor]:
    """Return the average-linkage tree of normalized features [M, D], by cosine distance.

    Returns:
        The tree [P - 1, 4] in scipy's form over P parts, and the part [M] of each image: itself, or in a class of more
        than `PARTS` images a small cluster of k-means. Each part counts as one point, its mean.
    """
    from scipy.cluster.hierarchy import linkage

    parts = torch.arange(len(features))
    if len(features) > PARTS:
        with fitting():
            parts = torch.from_numpy(kmeans(features.numpy(), PARTS, 1, seed).labels_).long()
        parts = parts.unique(return_inverse=True)[1]
    means = torch.zeros(int(parts.max()) + 1, features.shape[1]).index_add_(0, parts, features)
    if len(means) == 1:
        return np.zeros((0, 4)), parts
    means = torch.nn.functional.normalize(means, dim=1)
    return linkage(means.numpy().astype(np.float64), "average", metric="sqeuclidean"), parts


def _cut(features: Tensor, tree: NDArray[Any], parts: Tensor, k: int, min_share: float) -> Tensor:
    """Return the clusters [M]: the first cut, from the root, with k clusters that hold `min_share` of the images."""
    from scipy.cluster.hierarchy import cut_tree

    best = torch.zeros(len(features), dtype=torch.int64)
    points = len(tree) + 1
    for cut in range(k, points + 1):
        clusters = torch.from_numpy(cut_tree(tree, cut)[:, 0]).long()[parts] if len(tree) else best
        sizes = clusters.bincount()
        large = (sizes >= max(1, min_share * len(features))).nonzero().flatten()
        if len(large) >= k or cut == points:
            large = sizes.topk(min(k, len(sizes))).indices
            break
    means = torch.stack([features[clusters == each].mean(0) for each in large])
    nearest = (features @ torch.nn.functional.normalize(means, dim=1).T).argmax(1)
    place = torch.full((len(sizes),), -1)
    place[large] = torch.arange(len(large))
    return torch.where(place[clusters] >= 0, place[clusters], nearest)
