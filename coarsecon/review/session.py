"""Review with the features of its images: makes changes, and keeps what is derived from features. Thread-safe."""

import threading
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from coarsecon.discovery.groups import find_clusters
from coarsecon.discovery.kmeans import KMeans
from coarsecon.errors import InputError
from coarsecon.review.group import Group
from coarsecon.review.journal import Journal
from coarsecon.review.operations import MAX_PARTS, parse_operation
from coarsecon.review.state import ReviewState
from coarsecon.review.table import label_table
from coarsecon.runtime.journals import utc_now

STALE = "the review has changed elsewhere since; this page now shows its current state, so repeat your change"


class StaleError(InputError):
    """Change made against an earlier version of the review."""


class Session:
    """A journal and the normalized features float32 [N, D] of its images.

    Facts that are derived from features are kept by coarse class, and computed again where something changed.

    Args:
        who: Name of the reviewer, recorded with each change.
    """

    def __init__(self, journal: Journal, features: Tensor, who: str) -> None:
        self._journal, self.features, self._who = journal, features, who
        self._groups: dict[str, Group] = {}
        self.lock = threading.RLock()

    @property
    def state(self) -> ReviewState:
        """The review as it is now."""
        return self._journal.state

    def change(self, request: Mapping[str, Any]) -> None:
        """Write a change to the journal, then apply it.

        Args:
            request: An operation of `coarsecon.review.operations` without `who` and `time`. That of a split has the
                number of parts instead of the parts: `{"op": "split", "cluster": 3, "parts": 2, "version": 17}`.

        Raises:
            StaleError: The review has changed since the version of the request.
            InputError: The request is not valid, or does not fit the review.
            CoarseconError: The journal cannot be written; then nothing has changed.
        """
        if request.get("op") == "split":
            request = {**request, "parts": self._parts(request)}
        operation = parse_operation({**request, "who": self._who, "time": utc_now()}, "change")
        with self.lock:
            if operation.version != self.state.version:
                raise StaleError("change", STALE)
            for coarse in self._journal.append(operation):
                self._groups.pop(coarse, None)

    def table(self) -> str:
        """Return the table of labels as CSV."""
        with self.lock:
            return label_table(self.state)

    def group(self, coarse: str) -> Group:
        """Return the derived facts of a coarse class."""
        with self.lock:
            if coarse not in self._groups:
                self._groups[coarse] = Group(self.state, self.features, coarse)
            return self._groups[coarse]

    def groups(self) -> list[Group]:
        """Return those of all classes."""
        with self.lock:
            classes = dict.fromkeys(self.state.clusters[number].coarse for number in self.state.present())
            return [self.group(coarse) for coarse in classes]

    def _parts(self, request: Mapping[str, Any]) -> list[list[int]]:
        """Return the images of each part of a split by k-means: the same request gives the same parts."""
        number, count = request.get("cluster"), request.get("parts")
        if not (type(number) is int and type(count) is int and 2 <= count <= MAX_PARTS and number >= 0):
            raise InputError("parts", f"must be a number from 2 to {MAX_PARTS}")
        with self.lock:
            if number >= len(self.state.clusters):
                raise InputError("change", f"there is no cluster {number}")
            images = self.state.included(number)
        if len(images) < count:
            raise InputError("parts", f"{len(images)} images cannot be divided into {count} parts")
        rows = self.features[torch.tensor(images)]
        one_class = torch.zeros(len(images), dtype=torch.int64)
        found = find_clusters(rows, one_class, KMeans(KMeans.Config()), {0: count})[0]
        parts: list[list[int]] = [[] for _ in range(found.count)]
        for image, part in zip(images, found.clusters.tolist(), strict=True):
            parts[part].append(image)
        return parts
