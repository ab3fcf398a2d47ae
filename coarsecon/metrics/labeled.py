"""Classify features by a few labeled ones: the head, the temperature, and the threshold are cross-validated."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from coarsecon.metrics.calibration import (
    Threshold,
    auroc,
    calibration_error,
    choose_threshold,
    fit_temperature,
    probabilities,
)
from coarsecon.metrics.heads import HEADS, SIMILARITIES, cross_validated
from coarsecon.runtime.progress import Reporter


class Estimate(NamedTuple):
    """Expected errors on new images, from cross-validation on the labeled ones.

    Attributes:
        images: Number of labeled images that were classified by the others.
        error: Fraction of the images of known classes whose most probable class is wrong.
        calibration_error: Expected calibration error of the probabilities.
        threshold: The threshold, the fraction of known images that it rejects, and of new classes that it finds.
        wrong: Fraction of the images of known classes that are above the threshold and get a wrong class.
    """

    images: int
    error: float
    calibration_error: float
    threshold: Threshold
    wrong: float


@dataclass(frozen=True)
class Calibrated:
    """Head, similarity and temperature for images whose coarse class is known, or is not."""

    head: str
    similarity: str
    temperature: float
    estimate: Estimate


class Predicted(NamedTuple):
    """Predictions for Q images.

    Attributes:
        classes: Class [Q] int64 with the largest probability, -1 where the image has no allowed class.
        probability: Its probability [Q], if the image is of a known class.
        similarity: Similarity [Q] to the nearest class.
        is_known: Whether the similarity reaches the threshold [Q].
        probabilities: Probabilities of all classes [Q, C].
    """

    classes: Tensor
    probability: Tensor
    similarity: Tensor
    is_known: Tensor
    probabilities: Tensor


@dataclass(frozen=True)
class LabeledFeatures:
    """N labeled features with C classes in K coarse classes.

    Attributes:
        features: L2-normalized features [N, D].
        labels: Labels [N] int64, 0 to C - 1; every class occurs.
        coarse: Coarse class [N] int64 of each image, -1 where unknown.
        folds: Fold [N] of each image: images with the same fold are classified by the others.
        allowed: Classes [K, C] that occur in each coarse class, or whose coarse class is unknown.
    """

    features: Tensor
    labels: Tensor
    coarse: Tensor
    folds: Tensor
    allowed: Tensor

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return self.allowed.shape[1]

    def calibrate(
        self, *, constrained: bool, known_rejected: float | None = None, reporter: Reporter = Reporter()
    ) -> Calibrated:
        """Choose the head by log likelihood and the similarity by the detection of held-out classes.

        Every image is classified by those of other folds. Images whose class is in one fold only cannot be
        classified; they still count as images of a new class.

        Args:
            constrained: Choose among the classes of an image's coarse class only, as `predict` does where it is known.
            known_rejected: Largest fraction of images of known classes to reject; None: chosen together with the
                fraction of new images that are found.
            reporter: Receives progress.
        """
        outside = ~self._allowed(self.coarse if constrained else torch.full_like(self.coarse, -1))
        scores = {}
        with reporter.progress("cross-validating", len(HEADS), "classifiers") as progress:
            for name, each in HEADS.items():
                scores[name] = cross_validated(each, self.features, self.labels, self.folds, self.classes)
                scores[name] = scores[name].masked_fill(outside, -torch.inf)
                progress.advance()
        own = next(iter(scores.values())).gather(1, self.labels[:, None])[:, 0]
        kept = own.isfinite()
        labels = self.labels[kept]
        fits = {name: fit_temperature(found[kept], labels) for name, found in scores.items()} if kept.any() else {}
        head = min(fits, key=lambda name: fits[name][1], default="class means")
        temperature = fits[head][0] if fits else 1.0
        similarity = max(SIMILARITIES, key=lambda name: self._detection(scores[name], kept))
        known, new = self._similarities(scores[similarity], kept)
        threshold = choose_threshold(known, new, known_rejected) if len(known) else Threshold(-1.0, 0, *[torch.nan] * 2)
        probability, predicted = probabilities(scores[head][kept], temperature).max(1)
        correct = predicted == labels
        estimate = Estimate(
            images=int(kept.sum()),
            error=float((~correct).double().mean()) if len(correct) else float("nan"),
            calibration_error=calibration_error(probability, correct),
            threshold=threshold,
            wrong=float((~correct & (known >= threshold.value)).double().mean()) if len(correct) else float("nan"),
        )
        return Calibrated(head, similarity, temperature, estimate)

    def predict(self, calibrated: Calibrated, queries: Tensor, coarse: Tensor | None = None) -> Predicted:
        """Classify queries [Q, D]; those with a coarse class [Q] (-1: unknown) among the classes in it."""
        coarse = torch.full((len(queries),), -1) if coarse is None else coarse
        outside = ~self._allowed(coarse)

        def scores(name: str) -> Tensor:
            found = HEADS[name](self.features, self.labels, queries, self.classes)
            return found.masked_fill(outside, -torch.inf)

        found = probabilities(scores(calibrated.head), calibrated.temperature)
        probability, classes = found.max(1)
        similarity = scores(calibrated.similarity).amax(1)
        is_known = similarity >= calibrated.estimate.threshold.value
        return Predicted(classes.masked_fill(outside.all(1), -1), probability, similarity, is_known, found)

    def _allowed(self, coarse: Tensor) -> Tensor:
        """Return the classes [Q, C] that images of coarse classes [Q] may have."""
        everything = torch.ones(len(coarse), self.classes, dtype=torch.bool)
        return torch.where(coarse[:, None] >= 0, self.allowed[coarse.clamp(min=0)], everything)

    def _similarities(self, scores: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Return the largest score of images with their class [M], and without it: that of an image of a new class."""
        known = scores[kept].amax(1)
        new = scores.scatter(1, self.labels[:, None], -torch.inf).amax(1)
        return known, new if self.classes > 1 else new[:0]

    def _detection(self, scores: Tensor, kept: Tensor) -> float:
        known, new = self._similarities(scores, kept)
        return auroc(known, new) if len(known) and len(new) else 0.0
