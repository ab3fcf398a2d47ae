"""Number of clusters inside coarse classes: known, given, or estimated, with its evidence.

No criterion finds the number of a single class reliably, so the classes inform each other: what holds on average for
all classes counts `POOLED` times as much as the class itself.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coarsecon.discovery.base import fitting
from coarsecon.discovery.features import neighbor_scatter, whiten
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Progress
from coarsecon.search.exact import l2_normalize

COMPONENTS, SHRINKAGE = 64, 0.3
"""Whitening of the features that the numbers are estimated with."""

IMAGES, SPLITS = 1200, 4
"""Images of a class that the evidence uses, and the number of random halvings of them."""

MIN_IMAGES_PER_CLUSTER = 8
"""Average number of images that clusters must have to be considered."""

SILHOUETTE_WEIGHT, POOLED = 2.0, 4.0
"""Weight of the silhouette against stability, and of the mean over classes against the class itself."""

UNSTRUCTURED = 0.6
"""Score of a single cluster: features without structure score less for every number."""

PRIOR = 5.0
"""Weight of the squared logarithm of a number to the number that is expected by a given total."""


@dataclass(frozen=True)
class Evidence:
    """Scores of each number of clusters of a class.

    Attributes:
        stability: By number: the adjusted Rand index of clusters found on two halves of the images.
        silhouette: By number: the mean silhouette of the clusters, from -1 to 1.
        scores: By number: the sum that was maximized, with the part of the other classes.
    """

    stability: dict[int, float]
    silhouette: dict[int, float]
    scores: dict[int, float]


def known_counts(members: Mapping[int, Tensor], fine: Tensor | None) -> dict[int, int]:
    """Count the fine classes of `fine` [N] (-1 where unknown) among the images of each coarse class.

    Raises:
        InputError: A class has no fine label.
    """
    counts = {}
    for label, images in members.items():
        labels = torch.empty(0) if fine is None else fine[images]
        counts[label] = len(labels[labels >= 0].unique())
        if counts[label] == 0:
            raise InputError(
                "k = oracle", "a coarse class has no image with a fine label to count", "pass a number, or auto"
            )
    return counts


def whiten_for_estimate(features: Tensor, members: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Return the whitened features [M, C] of each class that `estimate_counts` works best with.

    Args:
        features: Features [N, D], normalized here.
        members: Indices [M] of the images of each class.
    """
    rows = [l2_normalize(features[images].float()) for images in members.values()]
    whitened = whiten(rows, neighbor_scatter(rows), components=COMPONENTS, shrinkage=SHRINKAGE)
    return dict(zip(members, whitened, strict=True))


def estimate_counts(
    classes: Mapping[int, Tensor],
    *,
    numbers: Sequence[int],
    total: int | None = None,
    seed: int = 0,
    progress: Progress = Progress(),
) -> tuple[dict[int, int], dict[int, Evidence]]:
    """Estimate the number of clusters of every coarse class by the stability and the silhouette of k-means.

    The stability of k clusters is the adjusted Rand index of the clusters of two random halves of the images, each
    extended to all images (Lange et al., 2004); the silhouette is that of Rousseeuw (1987). Their weighted sum is
    averaged over all classes, and each class maximizes its own plus `POOLED` times that average. With a total, the
    average is replaced by a prior around the number expected for a class, in proportion to its images, and the sum
    over classes is maximized among all choices with this total.

    Args:
        classes: Features [M, D] of each class, such as those of `whiten_for_estimate`.
        numbers: Numbers to choose from, in increasing order.
        total: Number of clusters of all classes together.
        seed: The same seed gives the same numbers.
        progress: Advanced by each class.

    Returns:
        The number and the evidence of each class.

    Raises:
        InputError: No choice of numbers has this total.
    """
    measured = {}
    for label, features in classes.items():
        measured[label] = _measure(features.numpy(), numbers, seed)
        progress.advance()
    own = {
        label: {k: stability[k] + SILHOUETTE_WEIGHT * silhouette[k] for k in stability}
        | ({1: UNSTRUCTURED} if 1 in numbers or not stability else {})
        for label, (stability, silhouette) in measured.items()
    }
    if total is None:
        average = _average(own.values())
        scores = {
            label: {k: value + POOLED * (average[k] if k > 1 else UNSTRUCTURED) for k, value in each.items()}
            for label, each in own.items()
        }
        counts = {label: max(each, key=lambda k: each[k]) for label, each in scores.items()}
        counts |= {label: min(each) for label, each in own.items() if max(each.values()) <= UNSTRUCTURED}
    else:
        expected = _expected({label: len(features) for label, features in classes.items()}, total)
        scores = {
            label: {k: value - PRIOR * float(np.log(k / expected[label])) ** 2 for k, value in each.items()}
            for label, each in own.items()
        }
        counts = _best_with_total(scores, total)
    evidence = {label: Evidence(*measured[label], scores[label]) for label in classes}
    return counts, evidence


def _measure(rows: NDArray[np.float32], numbers: Sequence[int], seed: int) -> tuple[dict[int, float], dict[int, float]]:
    """Return the stability and the silhouette of every possible number above 1."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    generator = np.random.default_rng(seed)
    if len(rows) > IMAGES:
        rows = rows[generator.permutation(len(rows))[:IMAGES]]
    halvings = [np.array_split(generator.permutation(len(rows)), 2) for _ in range(SPLITS)]
    stability, silhouette = {}, {}
    distinct = len(np.unique(rows, axis=0))
    with fitting():
        for k in numbers:
            if k == 1 or k > len(rows) // MIN_IMAGES_PER_CLUSTER or distinct < MIN_IMAGES_PER_CLUSTER * k:
                continue
            agreements = []
            for halves in halvings:
                one, other = (KMeans(k, n_init=3, random_state=seed).fit(rows[half]).predict(rows) for half in halves)
                agreements.append(adjusted_rand_score(one, other))
            stability[k] = float(np.mean(agreements))
            found = KMeans(k, n_init=5, random_state=seed).fit(rows).labels_
            silhouette[k] = float(silhouette_score(rows, found))
    return stability, silhouette


def _average(scores: Iterable[Mapping[int, float]]) -> dict[int, float]:
    """Return the mean score of each number over the classes that can have it."""
    found = defaultdict[int, list[float]](list)
    for each in scores:
        for k, value in each.items():
            found[k].append(value)
    return {k: float(np.mean(values)) for k, values in found.items()}


def _expected(sizes: Mapping[int, int], total: int) -> dict[int, float]:
    """Return the number of clusters of each class if all clusters had equally many images."""
    return {label: max(1.0, total * size / sum(sizes.values())) for label, size in sizes.items()}


def _best_with_total(scores: Mapping[int, Mapping[int, float]], total: int) -> dict[int, int]:
    """Choose a number for each class so that they add up to the total and the sum of scores is largest.

    Dynamic programming over classes: `best[t]` is the largest sum with t clusters so far.
    """
    best: dict[int, tuple[float, dict[int, int]]] = {0: (0.0, {})}
    for label, each in scores.items():
        following: dict[int, tuple[float, dict[int, int]]] = {}
        for reached, (value, counts) in best.items():
            for k, score in each.items():
                if reached + k <= total and value + score > following.get(reached + k, (-np.inf, {}))[0]:
                    following[reached + k] = (value + score, {**counts, label: k})
        best = following
    if total not in best:
        least, most = (sum(pick(each) for each in scores.values()) for pick in (min, max))
        raise InputError(
            "total", f"{total} clusters are not possible", f"the classes can have {least:,} to {most:,} together"
        )
    return best[total][1]
