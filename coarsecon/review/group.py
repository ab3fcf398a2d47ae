"""Derived facts of one coarse class under review: who belongs where, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coarsecon.review.head import Head, fit_head
from coarsecon.review.queue import QueueEntry, expected_gain
from coarsecon.review.state import ReviewState
from coarsecon.search.exact import l2_normalize

DOUBTFUL_MARGIN = 0.2
"""An image is doubtful if it prefers its own cluster to every other by less probability than this."""


@dataclass(frozen=True)
class Member:
    """Image of a cluster.

    Attributes:
        image: Its number.
        probability: Its probability to belong to the cluster.
        is_doubtful: Whether another cluster is as likely, or nearly so, and no person has checked the image.
        is_checked: Whether a person has placed this image itself.
        likely: The title of the most likely other cluster, if the image is doubtful.
        predicted: The name that the named clusters predict for it, "" if its coarse class has no name yet.
        confidence: Probability of that name.
    """

    image: int
    probability: float
    is_doubtful: bool
    is_checked: bool
    likely: str
    predicted: str
    confidence: float


class Group:
    """A coarse class as its clusters and names are now; excluded images are left out.

    Labels are cluster numbers: named clusters with the same name have the number of the first. `head` knows all
    clusters except rejected ones, `named` only those with a name.

    Args:
        features: Normalized features float32 [N, D] of all images under review.
    """

    def __init__(self, state: ReviewState, features: Tensor, coarse: str) -> None:
        self.coarse, self._state = coarse, state
        self.clusters = [number for number in state.present() if state.clusters[number].coarse == coarse]
        self._rows: dict[int, range] = {}
        self.images: list[int] = []
        labels: list[int] = []
        first: dict[str, int] = {}
        for number in self.clusters:
            cluster, members = state.clusters[number], state.included(number)
            label = number if cluster.status != "named" else first.setdefault(cluster.name, number)
            self._rows[number] = range(len(self.images), len(self.images) + len(members))
            self.images += members
            labels += [-1 if cluster.status == "rejected" else label] * len(members)
        self.features = features[torch.tensor(self.images, dtype=torch.int64)]
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self.is_checked = torch.tensor([state.images[image].is_checked for image in self.images], dtype=torch.bool)
        is_named = torch.isin(self.labels, torch.tensor(list(first.values()), dtype=torch.int64))
        self.head = fit_head(self.features, self.labels, self.is_checked)
        self.named = fit_head(self.features, self.labels.where(is_named, torch.tensor(-1)), self.is_checked)
        self._likely = self._compare()

    def _compare(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return for each image its probability to belong, the best other label, and whether it is doubtful."""
        count = len(self.images)
        if self.head is None:
            return torch.zeros(count), torch.full((count,), -1), torch.zeros(count, dtype=torch.bool)
        found = torch.tensor(self.head.labels)
        is_own = self.labels[:, None] == found
        own = (self.head.probability * is_own).sum(1).where(~self.is_checked, torch.tensor(1.0))
        others = self.head.probability.masked_fill(is_own, -1)
        best = others.max(1)
        is_doubtful = (own - best.values < DOUBTFUL_MARGIN) & (self.labels >= 0) & ~self.is_checked
        return own, found[best.indices], is_doubtful & (best.values >= 0)

    def members(self, cluster: int) -> list[Member]:
        """Return the images of a cluster, the most typical first, doubtful ones last."""
        rows = self._rows[cluster]
        own, likely, is_doubtful = (column[rows.start : rows.stop].tolist() for column in self._likely)
        predicted, confidence = self._predicted(rows)
        typical = self._typicality(cluster).tolist()
        order = sorted(range(len(rows)), key=lambda i: (is_doubtful[i], -own[i] if is_doubtful[i] else -typical[i]))
        return [
            Member(
                self.images[rows[i]], own[i], is_doubtful[i], bool(self.is_checked[rows[i]]),
                self._state.clusters[likely[i]].title if is_doubtful[i] else "", predicted[i], confidence[i],
            )
            for i in order
        ]  # fmt: skip

    def neighbors(self, cluster: int, count: int) -> list[tuple[int, float]]:
        """Return the clusters with the nearest means and the cosine to each, the nearest first."""
        own = self._mean(cluster)
        others = [(other, float(own @ self._mean(other))) for other in self.clusters if other != cluster]
        return sorted(others, key=lambda pair: -pair[1])[:count]

    def typical(self, cluster: int, count: int) -> list[int]:
        """Return the images nearest to the mean of a cluster."""
        rows = self._rows[cluster]
        order = self._typicality(cluster).argsort(descending=True, stable=True)[:count]
        return [self.images[rows[i]] for i in order.tolist()]

    def entry(self, cluster: int) -> QueueEntry:
        """Return a cluster as it appears in the queue."""
        rows, status = self._rows[cluster], self._state.clusters[cluster].status
        gain = expected_gain(status, self._likely[0][rows.start : rows.stop].tolist())
        return QueueEntry(cluster, status, len(rows), gain)

    def doubtful(self, cluster: int) -> int:
        """Count the doubtful images of a cluster."""
        rows = self._rows[cluster]
        return int(self._likely[2][rows.start : rows.stop].sum())

    def likely_names(self, cluster: int) -> list[tuple[str, float]]:
        """Return the names in use in the class with the mean probability of the images, the most likely first."""
        rows = self._rows[cluster]
        if self.named is None or not rows:
            return []
        return self.titled(self.named, self.named.probability[rows.start : rows.stop].mean(0))

    def titled(self, head: Head, probability: Tensor) -> list[tuple[str, float]]:
        """Return the title and the probability of each label of a row [C], the most likely first."""
        order = probability.argsort(descending=True, stable=True).tolist()
        return [(self._state.clusters[head.labels[column]].title, float(probability[column])) for column in order]

    def options(self, row: int, count: int) -> list[tuple[int, float]]:
        """Return the most likely clusters of the image in a row of `images`, and their probabilities."""
        if self.head is None:
            return []
        best = self.head.probability[row].topk(min(count, len(self.head.labels)))
        return [(self.head.labels[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]

    def margins(self) -> Tensor:
        """Return the margin [M] of each image, NaN where a person has checked it or there is nothing to choose."""
        if self.head is None or len(self.head.labels) < 2:
            return torch.full((len(self.images),), torch.nan)
        return self.head.margin().where(~self.is_checked, torch.tensor(torch.nan))

    def _predicted(self, rows: range) -> tuple[Sequence[str], Sequence[float]]:
        if self.named is None:
            return [""] * len(rows), [0.0] * len(rows)
        best = self.named.probability[rows.start : rows.stop].max(1)
        titles = [self._state.clusters[label].title for label in self.named.labels]
        return [titles[column] for column in best.indices.tolist()], best.values.tolist()

    def _mean(self, cluster: int) -> Tensor:
        rows = self._rows[cluster]
        return l2_normalize(self.features[rows.start : rows.stop].sum(0, keepdim=True))[0]

    def _typicality(self, cluster: int) -> Tensor:
        rows = self._rows[cluster]
        return self.features[rows.start : rows.stop] @ self._mean(cluster)
