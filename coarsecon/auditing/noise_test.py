"""Estimate how many wrong labels are reported, and how many reports are false alarms, by making labels wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from coarsecon.auditing.confident import Voters, check_labels

REPETITIONS = 5
"""Tests of each kind, with different images."""

Kind = Literal["random", "similar"]


RELABEL_PRECISION = 0.5
"""Smallest expected precision of labels that are proposed to be replaced."""


class Reliability(NamedTuple):
    """Reliability of label issues from a margin on, assuming that a certain fraction of the labels is wrong.

    Attributes:
        margin: The smallest margin.
        recall: Fraction of the wrong labels that are reported, as measured in the test.
        reported: Number of label issues of the dataset.
        precision: Fraction of wrong labels among them: assumed number of wrong labels x recall / reported. None if that
            is above 1: the dataset has fewer wrong labels than assumed, and nobody knows how many.
    """

    margin: float
    recall: float
    reported: int
    precision: float | None


@dataclass(frozen=True)
class NoiseTest:
    """Outcome of a test in which some labels were made wrong.

    Attributes:
        kind: "random": the wrong class is any other one. "similar": it is the other class with the most votes.
        changed: Number of labels made wrong in each repetition.
        repetitions: Number of tests.
        margins: Margins of the wrong labels that were reported, over all repetitions, ascending.
    """

    kind: Kind
    changed: int
    repetitions: int
    margins: NDArray[np.float64]

    def at(self, margin: float, reported: NDArray[np.float64]) -> Reliability:
        """Return the reliability of the issues with at least this margin.

        The number of wrong labels in the dataset is assumed to be the number of changed ones.

        Args:
            margin: The smallest margin.
            reported: Margins of the label issues of the dataset, [R].
        """
        recall = float((self.margins >= margin).sum()) / (self.changed * self.repetitions)
        count = int((reported >= margin).sum())
        expected = self.changed * recall
        return Reliability(margin, recall, count, expected / count if 0 < count >= expected else None)


def relabel_margin(tests: Sequence[NoiseTest], reported: NDArray[np.float64]) -> float:
    """Return the smallest margin, in steps of 0.05, with `RELABEL_PRECISION` in all tests; infinity if there is none.

    `reported` [R] are the margins of the label issues of the dataset.
    """
    for margin in np.arange(0, 1, 0.05).round(2).tolist():
        estimates = [test.at(margin, reported).precision for test in tests]
        if not all(estimates):
            break
        if all(each is not None and each >= RELABEL_PRECISION for each in estimates):
            return float(margin)
    return float("inf")


def run_noise_tests(
    voters: Voters, labels: NDArray[np.int64], classes: int, *, fraction: float, seed: int
) -> list[NoiseTest]:
    """Make a fraction of the labels [N] (-1: unknown) wrong, check the labels, and see which of them are reported.

    Images whose label is an issue already are not changed: their labels may be wrong.
    """
    votes = voters.votes(labels, classes)
    candidates = np.flatnonzero((labels >= 0) & ~check_labels(votes, labels).is_issue)
    changed = min(max(1, round(fraction * int((labels >= 0).sum()))), len(candidates))
    rng = np.random.default_rng(seed)
    kinds: tuple[Kind, ...] = ("random", "similar") if changed else ()
    tests = []
    for kind in kinds:
        margins = []
        for _ in range(REPETITIONS):
            chosen = rng.permutation(candidates)[:changed]
            noisy = labels.copy()
            noisy[chosen] = wrong_labels(kind, votes, labels, chosen, rng)
            check = check_labels(voters.votes(noisy, classes), noisy)
            margins.append(check.margin[chosen][check.is_issue[chosen]])
        tests.append(NoiseTest(kind, changed, REPETITIONS, np.sort(np.concatenate(margins))))
    return tests


def wrong_labels(
    kind: Kind, votes: csr_array, labels: NDArray[np.int64], chosen: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return a wrong class for each of the `chosen` images [M].

    A random one is drawn from the classes that have images, by their size. The similar one is the class other than the
    label with the most votes [N, C], or a random one where all votes are for the label.
    """
    filled = labels[labels >= 0]
    drawn = rng.choice(filled, len(chosen))
    while (same := drawn == labels[chosen]).any():
        drawn[same] = rng.choice(filled, int(same.sum()))
    if kind == "similar":
        for place, image in enumerate(chosen.tolist()):
            columns, values = _row(votes, image)
            others = columns != labels[image]
            if others.any():
                drawn[place] = columns[others][values[others].argmax()]
    return drawn


def _row(votes: csr_array, row: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    part = slice(votes.indptr[row], votes.indptr[row + 1])
    return votes.indices[part], votes.data[part]
