"""Find wrong labels by confident learning on votes of nearest neighbors.

Northcutt, Jiang, Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (JAIR 2021).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

TEMPERATURE = 0.05
"""Temperature of the weights exp(cosine / t) of the votes; see `coarsecon.metrics.knn`."""


@dataclass(frozen=True)
class Voters:
    """Neighbors of N images that may vote, best first, V at most per image.

    Attributes:
        indices: Neighbors int64 [N, V]; -1 where there is none.
        weights: Weights of their votes, float64 [N, V]; 0 where there is none.
    """

    indices: NDArray[np.int64]
    weights: NDArray[np.float64]

    def votes(self, labels: NDArray[np.int64], classes: int) -> csr_array:
        """Return the class probabilities [N, C] of images from the labels [N] of their neighbors (-1 has no vote).

        Rows sum to 1, or to 0 where no neighbor has a label.
        """
        voted = np.where(self.indices >= 0, labels[self.indices], -1)
        rows, places = np.nonzero(voted >= 0)
        votes = csr_array((self.weights[rows, places], (rows, voted[rows, places])), shape=(len(labels), classes))
        total = votes.sum(axis=1)
        scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
        votes.data *= np.repeat(scale, np.diff(votes.indptr))
        return votes


@dataclass(frozen=True)
class LabelCheck:
    """Labels of N images compared with the votes of their neighbors.

    Attributes:
        suggested: Class that confident learning suggests, int64 [N]; the given label where it agrees or is undecided.
        is_issue: True where another class is suggested, which also has more votes than the given label, bool [N].
        self_confidence: Probability of the given label, float64 [N].
        confidence: Probability of the suggested class, float64 [N].
        thresholds: Mean probability of each class over the images with its label, float64 [C]; infinite for a class
            without images.
        joint: Confident joint, int64 [C, C]: number of images with given label i that are confidently of class j.
    """

    suggested: NDArray[np.int64]
    is_issue: NDArray[np.bool_]
    self_confidence: NDArray[np.float64]
    confidence: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    joint: csr_array

    @property
    def margin(self) -> NDArray[np.float64]:
        """Probability of the suggested class minus that of the given label, [N]: the score of a label issue."""
        return self.confidence - self.self_confidence


def check_labels(votes: csr_array, labels: NDArray[np.int64]) -> LabelCheck:
    """Compare the labels [N] (-1: unknown) with the probabilities [N, C] of `Voters.votes`.

    An image is confidently of the class with the largest probability among those whose probability is at least the
    threshold of the class (equations 1 and 2 of the paper).
    """
    count, classes = votes.shape
    known = labels >= 0
    rows = np.repeat(np.arange(count), np.diff(votes.indptr))
    own = np.zeros(count)
    is_own = votes.indices == labels[rows]
    own[rows[is_own]] = votes.data[is_own]
    members = np.bincount(labels[known], minlength=classes)
    sums = np.bincount(labels[known], weights=own[known], minlength=classes)
    thresholds = np.divide(sums, members, out=np.full(classes, np.inf), where=members > 0)

    confident = (votes.data >= thresholds[votes.indices]) & known[rows]
    rows, columns, values = rows[confident], votes.indices[confident], votes.data[confident]
    order = np.lexsort((columns != labels[rows], -values, rows))  # of equal probabilities, the given label
    rows, first = np.unique(rows[order], return_index=True)
    best = order[first]
    suggested, confidence = labels.copy(), own.copy()
    suggested[rows], confidence[rows] = columns[best], values[best]
    joint = csr_array((np.ones(len(rows), np.int64), (labels[rows], suggested[rows])), shape=(classes, classes))
    return LabelCheck(suggested, (suggested != labels) & (confidence > own), own, confidence, thresholds, joint)
