"""Criteria of an embedding that need no fine labels: agreement of two views, and stability of clusters.

Both work inside the classes of known labels, such as coarse classes, and see only what the embedding distinguishes
there.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.metrics.interval import mean_and_interval
from coarsecon.runtime.progress import Progress
from coarsecon.runtime.threads import single_threaded
from coarsecon.search.exact import l2_normalize, products, tie_tolerance

CLUSTERS = (2, 4, 8)
"""Numbers of clusters that stability is averaged over."""

MIN_IMAGES_PER_CLUSTER = 4
"""Minimum average number of images of a cluster; smaller classes are not divided into that many."""

RESTARTS = 3
"""Random initializations of each k-means."""


def view_agreement(first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
    """Compute for each image if its second view is the nearest one to its first view among those of its class.

    Instance retrieval within a class: Recall@1 with the images themselves as classes. Views as near as the own one
    count as fractions, so an embedding that maps all images to one point has the accuracy of chance.

    Args:
        first: Features [N, D] of a random view of each image, normalized here.
        second: Features [N, D] of another view.
        labels: Integers [N]; images with -1 (unknown), and those that are the only one of their class, do not count.

    Returns:
        Float [N] from 0 to 1, NaN for images that do not count.
    """
    first, second = l2_normalize(first.float()), l2_normalize(second.float())
    found = torch.full((len(labels),), torch.nan)
    tolerance = tie_tolerance(first.dtype)
    for images in _members(labels, minimum=2):
        scores = products(first[images], second[images])
        own = scores.diagonal()[:, None]
        nearer, tied = (scores > own + tolerance).any(1), ((scores - own).abs() <= tolerance).sum(1)
        found[images] = torch.where(nearer, 0.0, 1 / tied).cpu()
    return found


def chance_of_agreement(labels: Tensor) -> float:
    """Return the expected mean of `view_agreement` for an embedding that ignores the image.

    Raises:
        InputError: No class has two images.
    """
    sizes = [len(images) for images in _members(labels, minimum=2)]
    if not sizes:
        raise InputError("labels", "no class has two images", "agreement of views needs images to compare with")
    return len(sizes) / sum(sizes)


def cluster_stability(
    first: Tensor,
    second: Tensor,
    labels: Tensor,
    *,
    clusters: Sequence[int] = CLUSTERS,
    repeats: int = 5,
    seed: int = 0,
    progress: Progress = Progress(),
) -> tuple[float, float]:
    """Compute how well clusters inside classes are reproduced on other images and other views.

    The images of each class are divided at random in two halves. k-means is fitted to the first view of one half, and
    to the second view of the other half; both solutions assign all images of the class, each by its view. The score
    is the adjusted Rand index of the two assignments (Hubert & Arabie, 1985), averaged over numbers of clusters and,
    weighted by size, over classes (stability by resampling: Lange et al., 2004).

    Args:
        first: Features [N, D] of a view of each image, normalized here.
        second: Features [N, D] of another view; the same tensor measures only the effect of the halves.
        labels: Integers [N], -1 where unknown.
        clusters: Numbers of clusters k; a class is divided in k if it has `MIN_IMAGES_PER_CLUSTER` times k images.
        repeats: Number of random halvings, at least two.
        seed: The same seed gives the same halves and clusters.
        progress: Advanced by each class of each repeat.

    Returns:
        The mean over repeats, and half the width of its 95% Student-t interval.

    Raises:
        InputError: Every class has too few images.
    """
    one, other = (l2_normalize(views.float()).cpu().numpy() for views in (first, second))
    classes = [images.cpu().numpy() for images in _members(labels, MIN_IMAGES_PER_CLUSTER * min(clusters))]
    if not classes:
        needed = MIN_IMAGES_PER_CLUSTER * min(clusters)
        raise InputError("labels", f"no class has {needed} images, which stable clusters need", "add images")
    generator = np.random.default_rng(seed)
    scores = []
    with single_threaded(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes of fewer distinct images than clusters
        for _ in range(repeats):
            total = 0.0
            for images in classes:
                halves = np.array_split(generator.permutation(len(images)), 2)
                total += len(images) * _class_stability(one[images], other[images], halves, clusters, seed)
                progress.advance()
            scores.append(total / sum(map(len, classes)))
    return mean_and_interval(scores)


def _class_stability(
    one: NDArray[np.float32],
    other: NDArray[np.float32],
    halves: Sequence[NDArray[np.int64]],
    clusters: Sequence[int],
    seed: int,
) -> float:
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    scores = []
    for k in clusters:
        if len(one) >= MIN_IMAGES_PER_CLUSTER * k:
            fits = [KMeans(k, n_init=RESTARTS, random_state=seed) for _ in halves]
            for fit, views, half in zip(fits, (one, other), halves, strict=True):
                fit.fit(views[half])
            scores.append(adjusted_rand_score(fits[0].predict(one), fits[1].predict(other)))
    return float(np.mean(scores))


def _members(labels: Tensor, minimum: int) -> list[Tensor]:
    """Return the indices of the images of each class with at least `minimum` images."""
    groups = [(labels == label).nonzero().flatten() for label in labels[labels >= 0].unique()]
    return [images for images in groups if len(images) >= minimum]
