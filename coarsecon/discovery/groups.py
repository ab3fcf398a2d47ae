"""Clusters of features inside each coarse class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coarsecon.discovery.base import Clustering
from coarsecon.discovery.number import Evidence
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter
from coarsecon.search.exact import l2_normalize

OUTLIER_DEVIATIONS = 4.0
"""Deviations below the median typicality of its cluster at which an image is an outlier."""


@dataclass(frozen=True)
class Group:
    """Clusters of one coarse class of M images.

    Attributes:
        label: The coarse class.
        images: Indices [M] of its images.
        clusters: Cluster [M] of each image, numbered from 0, the largest first.
        typicality: Cosine [M] of each image with the mean of its cluster.
        margin: Difference [M] of that cosine to the one with the nearest other mean; NaN for a single cluster.
        probability: Probability [M] of each image's cluster, by the clustering.
        outlier: True [M] where an image resembles no cluster.
        evidence: What the estimate of the number of clusters rests on, if it was estimated.
    """

    label: int
    images: Tensor
    clusters: Tensor
    typicality: Tensor
    margin: Tensor
    probability: Tensor
    outlier: Tensor
    evidence: Evidence | None = None

    @property
    def count(self) -> int:
        """The number of clusters."""
        return int(self.clusters.max()) + 1

    def most_typical(self, cluster: int) -> Tensor:
        """Return the images of a cluster, the most typical first."""
        inside = (self.clusters == cluster).nonzero().flatten()
        return self.images[inside[self.typicality[inside].argsort(descending=True, stable=True)]]


def images_by_class(coarse: Tensor) -> dict[int, Tensor]:
    """Return the indices of the images of each class of `coarse` [N], where -1 is unknown.

    Raises:
        InputError: No image has a coarse label.
    """
    classes = coarse[coarse >= 0].unique().tolist()
    if not classes:
        raise InputError("coarse labels", "no image has one", "label some images to cluster inside coarse classes")
    return {label: (coarse == label).nonzero().flatten() for label in classes}


def find_clusters(
    features: Tensor,
    coarse: Tensor,
    clustering: Clustering,
    counts: Mapping[int, int],
    *,
    evidence: Mapping[int, Evidence] | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> list[Group]:
    """Cluster features [N, D], normalized here, inside every coarse class of `coarse` [N] (-1: unknown, no cluster).

    Args:
        clustering: The algorithm.
        counts: Clusters of each coarse class; fewer where a class has fewer images.
        evidence: What the counts of classes rest on, if they were estimated.
        seed: The same seed gives the same clusters.

    Raises:
        InputError: No image has a coarse label.
    """
    members = images_by_class(coarse)
    classes = [l2_normalize(features[images].float()) for images in members.values()]
    allowed = [max(1, min(counts[label], len(images))) for label, images in members.items()]
    with (reporter or Reporter()).progress("clusters", len(classes), unit="coarse classes") as progress:
        found = clustering.fit(classes, allowed, seed=seed, progress=progress)
    return [
        _group(label, images, rows, probabilities, (evidence or {}).get(label))
        for (label, images), rows, probabilities in zip(members.items(), classes, found, strict=True)
    ]


def _group(label: int, images: Tensor, rows: Tensor, probabilities: Tensor, evidence: Evidence | None) -> Group:
    """Number the clusters by size, leave out empty ones, and measure how typical each image is."""
    own, found = probabilities.max(1)
    _, place, sizes = found.unique(return_inverse=True, return_counts=True)
    clusters = sizes.argsort(descending=True, stable=True).argsort()[place]
    typicality, margin = _closeness(rows, clusters)
    return Group(label, images, clusters, typicality, margin, own, _outliers(typicality, clusters), evidence)


def overall(groups: Sequence[Group], count: int) -> Tensor:
    """Return the cluster [N] of each of `count` images, numbered from 0 over all groups; -1 for an image in none."""
    clusters, first = torch.full((count,), -1), 0
    for group in groups:
        clusters[group.images] = first + group.clusters
        first += group.count
    return clusters


def _closeness(rows: Tensor, clusters: Tensor) -> tuple[Tensor, Tensor]:
    """Return the typicality and the margin [M] of normalized features [M, D]; see `Group`."""
    count = int(clusters.max()) + 1
    means = l2_normalize(torch.zeros(count, rows.shape[1]).index_add_(0, clusters, rows))
    cosines = rows @ means.T
    own = cosines.gather(1, clusters[:, None])
    if count == 1:
        return own[:, 0], torch.full((len(rows),), torch.nan)
    others = cosines.scatter(1, clusters[:, None], -torch.inf)
    return own[:, 0], own[:, 0] - others.max(1).values


def _outliers(typicality: Tensor, clusters: Tensor) -> Tensor:
    """Return which images [M] are far less typical than the median of their cluster, by its median deviation."""
    outlier = torch.zeros(len(clusters), dtype=torch.bool)
    for cluster in clusters.unique():
        inside = clusters == cluster
        below = typicality[inside].median() - typicality[inside]
        # 1.4826 makes the median absolute deviation of a normal distribution its standard deviation
        outlier[inside] = below > OUTLIER_DEVIATIONS * 1.4826 * below.abs().median()
    return outlier
