"""Nearest-mean classifier on cached features, retrained after each change: what the labels so far imply."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from coarsecon.search.exact import l2_normalize

TEMPERATURES = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5)
"""Candidates for the temperature of the softmax over cosines."""

MIN_CHECKED = 20
"""Images with two or more labels that a person has checked by themselves, from which on the temperature is fitted."""

MIN_TEMPERATURE = 1e-3


@dataclass(frozen=True)
class Head:
    """Predictions for M images of one coarse class.

    Attributes:
        labels: The C labels in order.
        means: Normalized mean features [C, D] of the labels.
        cosines: Cosine [M, C] of each image with each mean; of a labeled image, with the mean of the others.
        probability: Probability [M, C] of each label.
    """

    labels: list[int]
    means: Tensor
    cosines: Tensor
    probability: Tensor

    def margin(self) -> Tensor:
        """Return the difference [M] of the probabilities of the two most likely labels, 1 with a single label."""
        if len(self.labels) < 2:
            return torch.ones(len(self.probability))
        best = self.probability.topk(2, dim=1).values
        return best[:, 0] - best[:, 1]


def fit_head(features: Tensor, labels: Tensor, is_checked: Tensor | None = None) -> Head | None:
    """Fit the mean of each label, and predict all images by a softmax over the cosines with the means.

    A labeled image is left out of the mean of its label when it is predicted, in closed form: in a small cluster it
    would else confirm itself. The temperature maximizes the likelihood of the labels of checked images under these
    predictions. Where few are checked, it is the median difference of the two largest cosines, so that half of the
    images prefer their label by less than a factor of e: labels that come from clusters say nothing about how
    often they are right.

    Args:
        features: Normalized features float32 [M, D] of the images of one coarse class.
        labels: Labels int64 [M], -1 where unknown.
        is_checked: Whether [M] a person has checked the label; by default none is.

    Returns:
        The head, or None if no image has a label.
    """
    rows = (labels >= 0).nonzero().flatten()
    if not len(rows):
        return None
    found, column = labels[rows].unique(return_inverse=True)
    sums = (labels == found[:, None]).float() @ features
    cosines = features @ l2_normalize(sums).T
    norms = sums.norm(dim=1)[column]
    product = cosines[rows, column] * norms
    # Without its own row x, a sum s has the cosine (x.s - 1) / |s - x|, and |s - x|^2 = |s|^2 - 2 x.s + 1.
    distance = (norms.square() - 2 * product + 1).clamp(min=1e-6).sqrt()
    has_others = column.bincount(minlength=len(found))[column] > 1
    cosines[rows, column] = torch.where(has_others, (product - 1) / distance, cosines[rows, column])
    checked = torch.zeros_like(has_others) if is_checked is None else has_others & is_checked[rows]
    temperature = _temperature(cosines, cosines[rows[checked]], column[checked])
    return Head(found.tolist(), l2_normalize(sums), cosines, (cosines / temperature).softmax(1))


def _temperature(cosines: Tensor, checked: Tensor, column: Tensor) -> float:
    """Return the temperature for cosines [M, C], given those [L, C] of checked images with labels `column` [L]."""
    if cosines.shape[1] < 2:
        return 1.0
    if len(column) >= MIN_CHECKED and len(column.unique()) > 1:
        losses = [float(cross_entropy(checked / each, column)) for each in TEMPERATURES]
        return TEMPERATURES[losses.index(min(losses))]
    best = cosines.topk(2, dim=1).values
    return max(MIN_TEMPERATURE, float((best[:, 0] - best[:, 1]).median()))
