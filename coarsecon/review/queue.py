"""Order the clusters by how much an answer helps."""

from collections.abc import Sequence
from typing import NamedTuple

from coarsecon.review.state import Status


class QueueEntry(NamedTuple):
    """Cluster in the queue: `gain` is the expected number of images whose label becomes right by an answer."""

    cluster: int
    status: Status
    size: int
    gain: float


def expected_gain(status: Status, probabilities: Sequence[float]) -> float:
    """Return the expected number of images whose label becomes right when a person judges a cluster.

    It is the size of the cluster times a mean probability: of an open cluster, the probability that an image belongs to
    it, since a name labels exactly those images correctly; of a named one, the probability that an image does not
    belong to it, since those are the ones to move. A rejected cluster is judged: 0.

    Args:
        status: Status of the cluster.
        probabilities: Probability of each of its images to belong to it; 1 for images that a person has checked.
    """
    if status == "rejected":
        return 0.0
    belonging = float(sum(probabilities))
    return belonging if status == "open" else len(probabilities) - belonging


def ordered(entries: Sequence[QueueEntry]) -> list[QueueEntry]:
    """Return the open clusters, then the named ones, then the rejected ones; in each, the largest gain first."""
    rank = {"open": 0, "named": 1, "rejected": 2}
    return sorted(entries, key=lambda entry: (rank[entry.status], -entry.gain, entry.cluster))
