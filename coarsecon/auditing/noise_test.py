"""Estimate how many wrong labels are found, and how many false alarms there are, by making labels wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from coarsecon.auditing.confident import Voters, check_labels

REPETITIONS = 5
"""Tests of each kind, with different images."""

Kind = Literal["random", "similar"]


@dataclass(frozen=True)
class NoiseTest:
    """Outcome of a test in which some labels were made wrong.

    Attributes:
        kind: "random": the wrong class is any other one. "similar": it is the other class with the most votes.
        repetitions: Number of tests, over which the counts are added up.
        changed: Number of labels made wrong.
        found: How many of them are label issues.
        known: Other label issues that are issues of the unchanged dataset as well: right or wrong, nobody knows.
        false: Other label issues, which only the wrong labels of neighbors cause: false alarms.
    """

    kind: Kind
    repetitions: int
    changed: int
    found: int
    known: int
    false: int

    @property
    def recall(self) -> float:
        """Fraction of the wrong labels that are found."""
        return self.found / max(1, self.changed)

    @property
    def precision(self) -> tuple[float, float]:
        """Fraction of wrong labels among all label issues: if none of the `known` ones is wrong, and if all are."""
        issues = max(1, self.found + self.known + self.false)
        return self.found / issues, (self.found + self.known) / issues


def run_noise_tests(
    voters: Voters, labels: NDArray[np.int64], classes: int, *, fraction: float, seed: int
) -> list[NoiseTest]:
    """Make a fraction of the labels [N] (-1: unknown) wrong, check the labels, and count what is found.

    Images whose label is an issue already are not changed: their labels may be wrong.
    """
    votes = voters.votes(labels, classes)
    is_issue = check_labels(votes, labels).is_issue
    candidates = np.flatnonzero((labels >= 0) & ~is_issue)
    rng = np.random.default_rng(seed)
    return [
        _add_up(kind, _trials(kind, voters, votes, labels, is_issue, candidates, fraction, rng))
        for kind in ("random", "similar")
    ]


def _trials(
    kind: Kind,
    voters: Voters,
    votes: csr_array,
    labels: NDArray[np.int64],
    is_issue: NDArray[np.bool_],
    candidates: NDArray[np.int64],
    fraction: float,
    rng: np.random.Generator,
) -> Iterator[tuple[int, int, int, int]]:
    """Yield changed, found, known and false label issues of each repetition."""
    for _ in range(REPETITIONS):
        chosen = rng.permutation(candidates)[: max(1, round(fraction * (labels >= 0).sum()))]
        noisy = labels.copy()
        noisy[chosen] = wrong_labels(kind, votes, labels, chosen, rng)
        found = check_labels(voters.votes(noisy, votes.shape[1]), noisy).is_issue
        is_changed = np.zeros(len(labels), bool)
        is_changed[chosen] = True
        others = found & ~is_changed
        yield len(chosen), int(found[chosen].sum()), int((others & is_issue).sum()), int((others & ~is_issue).sum())


def _add_up(kind: Kind, counts: Iterator[tuple[int, int, int, int]]) -> NoiseTest:
    return NoiseTest(kind, REPETITIONS, *np.sum(list(counts), axis=0).tolist())


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
