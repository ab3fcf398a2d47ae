"""Scores of classes from labeled features, without training: class means, nearest images, and ridge regression.

A head takes labeled features [N, D], their labels [N] in 0 to C - 1, queries [Q, D], and C, and returns scores [Q, C];
classes without an image have the score -inf. Features are L2-normalized.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from coarsecon.search.exact import l2_normalize

Head = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""(labeled features [N, D], labels [N], queries [Q, D], number of classes C) -> scores [Q, C]."""

QUERIES_AT_ONCE = 1024

MAX_LINKED = 2_000
"""Images of a class that are linked; the time is quadratic in their number."""


def mean_scores(features: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
    """Return the cosine of each query with the mean of each class (nearest class mean)."""
    sums = features.new_zeros(classes, features.shape[1]).index_add_(0, labels, features)
    return _without_empty(queries @ l2_normalize(sums).T, labels, classes)


def neighbor_scores(features: Tensor, labels: Tensor, queries: Tensor, classes: int, *, count: int) -> Tensor:
    """Return the mean of the `count` largest cosines of each query with the images of each class."""
    scores = queries.new_full((len(queries), classes), -torch.inf)
    members = {label: (labels == label).nonzero().flatten() for label in labels.unique().tolist()}
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        rows = slice(start, start + QUERIES_AT_ONCE)
        cosines = queries[rows] @ features.T
        for label, images in members.items():
            scores[rows, label] = cosines[:, images].topk(min(count, len(images)), dim=1).values.mean(1)
    return scores


def ridge_scores(features: Tensor, labels: Tensor, queries: Tensor, classes: int, *, penalty: float) -> Tensor:
    """Return the outputs of ridge regression from features to one-hot labels, with intercepts.

    Args:
        penalty: L2 penalty of the weights, relative to the mean squared length of the centered features times N.
    """
    features, queries = features.double(), queries.double()
    center = features.mean(0)
    x = features - center
    targets = torch.nn.functional.one_hot(labels, classes).double()
    bias = targets.mean(0)
    scale = penalty * float(x.square().sum(1).mean().clamp(min=1e-12))
    if len(x) < x.shape[1]:  # the dual problem is smaller
        gram = x @ x.T
        weights = x.T @ torch.linalg.solve(gram + scale * torch.eye(len(x), dtype=x.dtype), targets - bias)
    else:
        weights = torch.linalg.solve(x.T @ x + scale * torch.eye(x.shape[1], dtype=x.dtype), x.T @ (targets - bias))
    return _without_empty(((queries - center) @ weights + bias).float(), labels, classes)


SIMILARITIES: dict[str, Head] = {
    "class means": mean_scores,
    "nearest image": partial(neighbor_scores, count=1),
    "3 nearest images": partial(neighbor_scores, count=3),
}
"""Heads whose score of a class does not depend on the other classes, so that it measures how new an image is."""

HEADS: dict[str, Head] = {
    **SIMILARITIES,
    "ridge 0.1": partial(ridge_scores, penalty=0.1),
    "ridge 1": partial(ridge_scores, penalty=1.0),
    "ridge 10": partial(ridge_scores, penalty=10.0),
}


def cross_validated(head: Head, features: Tensor, labels: Tensor, folds: Tensor, classes: int) -> Tensor:
    """Return the scores [N, C] of each image by a head of the images in other folds [N]."""
    scores = features.new_full((len(features), classes), -torch.inf)
    for fold in folds.unique().tolist():
        inside = folds == fold
        if not inside.all():
            scores[inside] = head(features[~inside], labels[~inside], features[inside], classes)
    return scores


def similar_groups(features: Tensor, labels: Tensor, groups: int) -> Tensor:
    """Divide the images of each class into `groups` sets of similar images, by average linkage.

    A single image that is left out is classified by near-duplicates of it, such as other photos of the same scene, and
    seems easier than a new image. Sets that are left out together avoid that, without a threshold of similarity.

    Args:
        features: L2-normalized features [N, D].
        labels: Labels [N].
        groups: Sets of each class; a class of fewer images has one set per image.

    Returns:
        Set [N] int64 of each image; sets of different classes have different numbers.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    found = torch.arange(len(labels))
    for label in labels.unique().tolist():
        images = (labels == label).nonzero().flatten()
        linked = images[:MAX_LINKED]  # the others of a large class form no sets
        if len(linked) > groups:
            tree = linkage(features[linked].double().numpy(), "average")
            numbers = torch.from_numpy(fcluster(tree, groups, "maxclust")).long()
            found[linked] = len(labels) + label * groups + numbers
    return found


def _without_empty(scores: Tensor, labels: Tensor, classes: int) -> Tensor:
    empty = torch.ones(classes, dtype=torch.bool, device=scores.device)
    empty[labels.unique()] = False
    return scores.masked_fill(empty, -torch.inf)
