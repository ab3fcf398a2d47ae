"""Calibrate class scores: probabilities by a temperature, and a threshold below which an image is of no known class."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BINS = 15
"""Bins of the expected calibration error."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-3, 1e2

KNOWN_KEPT = 0.95
"""Fraction of the images of known classes that are kept where no class can be held out to choose a threshold."""


class Threshold(NamedTuple):
    """A threshold on the similarity of an image to the nearest class.

    Attributes:
        value: Images with a smaller similarity are of no known class.
        known_rejected: Fraction of the images of known classes below it.
        new_found: Fraction of the images of new classes below it; NaN if there are none to measure it with.
        auroc: Probability that an image of a known class is more similar than one of a new class; NaN as above.
    """

    value: float
    known_rejected: float
    new_found: float
    auroc: float


def probabilities(scores: Tensor, temperature: float) -> Tensor:
    """Return softmax(scores / temperature) [N, C]; rows without a finite score are 0."""
    return (scores / temperature).softmax(1).nan_to_num(0)


def fit_temperature(scores: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the temperature with the smallest negative log likelihood of the labels, and that likelihood per image.

    Guo et al., "On Calibration of Modern Neural Networks" (2017). The search is a grid of factor 1.26, refined once.

    Args:
        scores: Scores [N, C], -inf for classes that an image cannot have.
        labels: Labels [N]; their scores are finite.
    """

    def loss(temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(scores.double() / temperature, labels))

    grid = np.geomspace(MIN_TEMPERATURE, MAX_TEMPERATURE, 51).tolist()
    best = min(grid, key=loss)
    fine = np.geomspace(best / 1.26, best * 1.26, 21).tolist()
    best = min(fine, key=loss)
    return best, loss(best)


def calibration_error(probability: Tensor, correct: Tensor, bins: int = BINS) -> float:
    """Compute the expected calibration error: the mean over images of |accuracy - mean probability| of their bin.

    Args:
        probability: Probability [N] of the predicted class.
        correct: Whether the prediction [N] is right.
        bins: Number of bins of equal width.
    """
    place = (probability * bins).long().clamp(0, bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, correct.double() - probability.double())
    return float(gaps.abs().sum() / max(1, len(probability)))


def auroc(known: Tensor, new: Tensor) -> float:
    """Return the probability that a value of `known` [N] exceeds one of `new` [M], ties counting half."""
    order = new.double().sort().values
    values = known.double().contiguous()
    below = torch.searchsorted(order, values, side="left").double()
    equal = torch.searchsorted(order, values, side="right").double() - below
    return float((below + equal / 2).mean() / len(new))


def choose_threshold(known: Tensor, new: Tensor, known_rejected: float | None = None) -> Threshold:
    """Choose the threshold with the largest sum of the fractions of known images kept and of new images found.

    Args:
        known: Similarity [N] of images of known classes to the nearest class.
        new: Similarity [M] of images of new classes, which were held out.
        known_rejected: Largest fraction of known images to reject, which replaces the choice.
    """
    values = known.double().sort().values
    if known_rejected is None and not len(new):
        known_rejected = 1 - KNOWN_KEPT
    if known_rejected is not None:
        value = float(values[min(len(values) - 1, int(known_rejected * len(values)))])
    else:
        order = new.double().sort().values
        rejected = torch.arange(len(values)) / len(values)  # at the threshold values[i]
        found = torch.searchsorted(order, values, side="left") / len(order)
        value = float(values[int((found - rejected).argmax())])
    measured = len(new) > 0
    return Threshold(
        value,
        float((known.double() < value).double().mean()),
        float((new.double() < value).double().mean()) if measured else float("nan"),
        auroc(known, new) if measured else float("nan"),
    )
