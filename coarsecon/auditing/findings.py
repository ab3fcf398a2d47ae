"""Findings of an audit, image by image, with a proposal for each."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coarsecon.auditing.duplicates import Pairs, choose_kept
from coarsecon.auditing.images import DatasetImages

Problem = Literal[
    "leakage", "duplicate", "near-duplicate", "wrong label", "outlier", "broken", "blank", "tiny", "blurred"
]
Proposal = Literal["exclude", "relabel", "review"]

PROPOSALS: dict[Problem, Proposal] = {
    "leakage": "exclude", "duplicate": "exclude", "near-duplicate": "exclude", "wrong label": "relabel",
    "outlier": "review", "broken": "exclude", "blank": "exclude", "tiny": "review", "blurred": "review",
}  # fmt: skip
"""The usual proposal for each problem, in the order in which problems are reported."""


class Finding(NamedTuple):
    """A problem of one image.

    Attributes:
        image: Number of the image.
        problem: Kind of the problem.
        score: Its size: the distance of a duplicate, the margin of a label, the sharpness, ...; see docs/audit.md.
        proposal: Proposed action.
        other: Number of the image that is kept instead, or None.
        label: Suggested class, or "".
    """

    image: int
    problem: Problem
    score: float
    proposal: Proposal
    other: int | None = None
    label: str = ""


def duplicate_findings(images: DatasetImages, pairs: Pairs, sizes: NDArray[np.int64]) -> list[Finding]:
    """Propose to exclude images that have a near-duplicate which is kept.

    Kept are images of test before those of val, and images of train last, so that published test sets stay complete;
    within a split, larger images, and then those that come first.
    """
    order = np.lexsort((-sizes.prod(axis=1), images.ranks))
    priority = np.empty(len(order), np.int64)
    priority[order] = np.arange(len(order))
    codes = pairs.first * len(images) + pairs.second
    places = dict(zip(codes.tolist(), range(len(pairs)), strict=True))
    is_across = images.splits[pairs.first] != images.splits[pairs.second]
    leaked = set(np.concatenate([pairs.first[is_across], pairs.second[is_across]]).tolist())
    found = []
    for image, kept in choose_kept(pairs, priority).items():
        pair = places[min(image, kept) * len(images) + max(image, kept)]
        problem: Problem = "leakage" if image in leaked else "duplicate" if pairs.is_exact[pair] else "near-duplicate"
        found.append(Finding(image, problem, float(pairs.distance[pair]), PROPOSALS[problem], other=kept))
    return found


def score_findings(problem: Problem, scores: NDArray[np.float64], chosen: NDArray[np.bool_]) -> list[Finding]:
    """Return a finding with its score for each image where `chosen` bool [N] is true."""
    return [
        Finding(image, problem, float(scores[image]), PROPOSALS[problem]) for image in np.flatnonzero(chosen).tolist()
    ]


def in_order(findings: list[Finding]) -> list[Finding]:
    """Sort findings by problem, and within it the most certain ones first."""
    problems = list(PROPOSALS)
    is_rising = ("leakage", "duplicate", "near-duplicate", "blank", "tiny")
    return sorted(
        findings,
        key=lambda each: (
            problems.index(each.problem), each.score if each.problem in is_rising else -each.score, each.image,
        ),
    )  # fmt: skip
