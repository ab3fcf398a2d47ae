"""Clusters of features inside each coarse class, and an estimate of their number."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter
from coarsecon.runtime.threads import single_threaded
from coarsecon.search.exact import l2_normalize

Model = Literal["kmeans", "mixture"]
Count = int | Literal["oracle", "auto"]

MIN_PREDICTION_STRENGTH = 0.8
"""Prediction strength that clusters must have; Tibshirani & Walther recommend 0.8 to 0.9."""

MAX_COMPONENTS = 32
"""Principal components of a class that the estimate of k and the mixture use; the others are noise."""

ESTIMATE_IMAGES, ESTIMATE_SPLITS = 1000, 5
"""Images of a class that the estimate of k uses, and the number of random halvings of them."""


@dataclass(frozen=True)
class Group:
    """Clusters of one coarse class of M images.

    Attributes:
        label: The coarse class.
        images: Indices [M] of its images.
        clusters: Cluster [M] of each image, numbered from 0, the largest first.
        typicality: Cosine [M] of each image with the mean of its cluster.
        margin: Difference [M] of that cosine to the one with the nearest other mean; NaN for a single cluster.
        strengths: Prediction strength of every k that was tried.
    """

    label: int
    images: Tensor
    clusters: Tensor
    typicality: Tensor
    margin: Tensor
    strengths: dict[int, float] | None = None

    @property
    def count(self) -> int:
        """The number of clusters."""
        return int(self.clusters.max()) + 1

    def most_typical(self, cluster: int) -> Tensor:
        """Return the images of a cluster, the most typical first."""
        inside = (self.clusters == cluster).nonzero().flatten()
        return self.images[inside[self.typicality[inside].argsort(descending=True, stable=True)]]


def find_clusters(
    features: Tensor,
    coarse: Tensor,
    *,
    k: Count,
    fine: Tensor | None = None,
    model: Model = "kmeans",
    max_k: int = 15,
    restarts: int = 10,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> list[Group]:
    """Cluster features [N, D], normalized here, inside every coarse class of `coarse` [N] (-1: unknown, no cluster).

    Args:
        k: Clusters per class, fewer where a class has fewer images; "oracle" for its number of classes in `fine`;
            "auto" for `estimate_k` up to `max_k`.
        fine: Fine labels [N] for "oracle", -1 where unknown.
        model: k-means, or a Gaussian mixture with diagonal covariances.
        restarts: Number of random initializations, of which the best result is kept.
        seed: The same seed gives the same clusters.

    Raises:
        InputError: No image has a coarse label, or with "oracle" a class has no fine label.
    """
    classes = coarse[coarse >= 0].unique().tolist()
    if not classes:
        raise InputError("coarse labels", "no image has one", "label some images to cluster inside coarse classes")
    groups = []
    with (reporter or Reporter()).progress("clusters", len(classes), unit="coarse classes") as progress:
        for label in classes:
            images = (coarse == label).nonzero().flatten()
            rows = l2_normalize(features[images].float())
            strengths = None
            if k == "auto":
                count, strengths = estimate_k(rows, max_k=max_k, seed=seed)
            else:
                count = _known(fine, images) if k == "oracle" else k
            clusters = _fit(rows, min(count, len(rows)), model, restarts, seed)
            groups.append(Group(label, images, clusters, *_closeness(rows, clusters), strengths))
            progress.advance()
    return groups


def overall(groups: Sequence[Group], count: int) -> Tensor:
    """Return the cluster [N] of each of `count` images, numbered from 0 over all groups; -1 for an image in none."""
    clusters, first = torch.full((count,), -1), 0
    for group in groups:
        clusters[group.images] = first + group.clusters
        first += group.count
    return clusters


def estimate_k(features: Tensor, *, max_k: int, seed: int = 0) -> tuple[int, dict[int, float]]:
    """Estimate the number of clusters of normalized features [M, D] by their prediction strength.

    The result is the largest k whose prediction strength reaches `MIN_PREDICTION_STRENGTH` (Tibshirani & Walther,
    2005): both halves of a random split are clustered, and the strength is the fraction of pairs in a cluster of one
    half that the centers of the other half keep together, minimized over clusters and averaged over splits. One
    cluster has strength 1. Unlike the gap statistic and BIC this assumes no distribution: features of networks are
    far from Gaussian, and those two overestimate k.

    Returns:
        k, and the prediction strength of every number up to `max_k`.
    """
    rows = _components(features.numpy())
    generator = np.random.default_rng(seed)
    if len(rows) > ESTIMATE_IMAGES:
        rows = rows[generator.permutation(len(rows))[:ESTIMATE_IMAGES]]
    halvings = [np.array_split(generator.permutation(len(rows)), 2) for _ in range(ESTIMATE_SPLITS)]
    strengths = {1: 1.0}
    with _fitting():
        for k in range(2, min(max_k, len(rows) // 4) + 1):
            values = [_prediction_strength(rows[one], rows[other], k, seed) for one, other in halvings]
            strengths[k] = float(np.mean(values))
    return max(k for k, strength in strengths.items() if strength >= MIN_PREDICTION_STRENGTH), strengths


def _prediction_strength(one: NDArray[Any], other: NDArray[Any], k: int, seed: int) -> float:
    fits = [_kmeans(half, k, 5, seed) for half in (one, other)]
    worst = []
    for half, own, foreign in ((one, *fits), (other, *reversed(fits))):
        table = np.zeros((k, k))
        np.add.at(table, (own.labels_, foreign.predict(half)), 1)
        sizes = table.sum(1)
        pairs, kept = sizes * (sizes - 1), (table * (table - 1)).sum(1)
        worst.append((kept[pairs > 0] / pairs[pairs > 0]).min(initial=1.0))
    return float(np.mean(worst))


def _fit(rows: Tensor, k: int, model: Model, restarts: int, seed: int) -> Tensor:
    """Return the clusters [M] of normalized features [M, D], numbered by size."""
    values = rows.numpy()
    with _fitting():
        if k == 1:
            found = np.zeros(len(rows), np.int64)
        elif model == "kmeans":
            found = _kmeans(values, k, restarts, seed).labels_
        else:
            from sklearn.mixture import GaussianMixture

            mixture = GaussianMixture(k, covariance_type="diag", n_init=restarts, random_state=seed)
            found = mixture.fit_predict(_components(values).astype(np.float64))
    _, place, sizes = np.unique(found, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return torch.from_numpy(rank[place])


def _kmeans(rows: NDArray[Any], k: int, restarts: int, seed: int) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=restarts, random_state=seed).fit(rows)


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


def _components(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the coordinates [M, MAX_COMPONENTS] of features [M, D] along their first principal components."""
    centered = rows - rows.mean(0)
    if centered.shape[1] <= MAX_COMPONENTS:
        return centered
    _, vectors = np.linalg.eigh(centered.T @ centered)
    return np.ascontiguousarray(centered @ vectors[:, : -MAX_COMPONENTS - 1 : -1])


def _known(fine: Tensor | None, images: Tensor) -> int:
    labels = None if fine is None else fine[images]
    count = 0 if labels is None else len(labels[labels >= 0].unique())
    if count == 0:
        raise InputError(
            "k = oracle", "a coarse class has no image with a fine label to count", "pass a number, or auto"
        )
    return count


@contextmanager
def _fitting() -> Iterator[None]:
    """Use one thread, so that a seed gives one result, and ignore classes of fewer distinct images than clusters."""
    from sklearn.exceptions import ConvergenceWarning

    with single_threaded(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
