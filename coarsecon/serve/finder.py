"""Nearest images of a query in a split or in one class of it."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from coarsecon.data.prepared.convert import as_prepared
from coarsecon.errors import InputError
from coarsecon.pictures.rows import Pixels
from coarsecon.run.facade import Run
from coarsecon.run.searching import stored_index
from coarsecon.run.tuned import tuned_index
from coarsecon.search.exact import nearest
from coarsecon.search.index import EXACT, SearchIndex
from coarsecon.search.space import TunedIndex

MAX_RECENT_QUERIES = 1000
"""Uploaded queries whose features are kept, so that they can be searched again without the image."""

Within = tuple[str, int]
"""A class to search in: its level and its label."""


@dataclass(frozen=True)
class Query:
    """Query with normalized features [1, D], and `number` if it is an image of the split itself."""

    id: str
    name: str
    features: Tensor
    number: int | None = None


class Finder:
    """Thread-safe search in the images of a split, for uploaded images and for its own.

    Args:
        split: Name of the split.
        index: Index of the features of its images.
        features: The same features, normalized float32 [N, D], for exact search within a class.
        pixels: `pixels(i)` is image i, uint8 [H, W, 3].
        embed: Computes normalized features [1, D] of an encoded image; raises InputError if it cannot be read.
    """

    def __init__(
        self,
        split: str,
        index: SearchIndex | TunedIndex,
        features: Tensor,
        pixels: Callable[[int], Pixels],
        embed: Callable[[bytes], Tensor],
    ) -> None:
        self.split, self.index, self.features, self.pixels, self.embed = split, index, features, pixels, embed
        self.items = index.items
        self._labels = {level: torch.tensor(labels) for level, labels in self.items.labels.items()}
        self._recent: OrderedDict[str, Query] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, session: Run, split: str, factory: str = EXACT, *, tuned: bool = False) -> Self:
        """Search a split of a run with an index of a FAISS factory string; the run stores an approximate index.

        With `tuned`, search with the settings that were tuned for the run. Lists within a class are not re-ranked.

        Raises:
            InputError: There is no such split, or the index cannot be built; the run is not tuned.
        """
        collection = session.collection(split)
        if tuned:
            if factory != EXACT:
                raise InputError("index", "a tuned search is exact", "leave index out")
            gallery, found = tuned_index(session, split, collection.items)
            size = session.store.image_size
            embed = gallery.images
            return cls(split, found, found.vectors, collection.pixels, lambda data: embed([as_prepared(data, size)]))
        if factory == EXACT:
            index = SearchIndex.build(collection.features, collection.items)
        else:
            index = stored_index(session, collection, split, factory)
        store = session.store
        size = store.image_size
        features = index.vectors if index.exact else collection.features
        return cls(split, index, features, collection.pixels, lambda data: store.images([as_prepared(data, size)]))

    def uploaded(self, data: bytes, name: str) -> Query:
        """Make a query of an encoded image; raises InputError if it cannot be read."""
        try:
            features = self.embed(data)
        except InputError as error:
            raise InputError(name, error.problem, error.hint) from None
        query = Query(hashlib.sha256(data).hexdigest(), name, features)
        with self._lock:
            self._recent[query.id] = query
            self._recent.move_to_end(query.id)
            if len(self._recent) > MAX_RECENT_QUERIES:
                self._recent.popitem(last=False)
        return query

    def query(self, id: str) -> Query | None:
        """Return the query with this id, a recent upload or `SPLIT:NUMBER` of the split; None if unknown."""
        split, _, text = id.rpartition(":")
        number = number_below(len(self.items), text)
        if split == self.split and number is not None:
            return Query(f"{split}:{number}", self.items.names[number], self.features[number][None], number)
        with self._lock:
            return self._recent.get(id)

    def neighbors(self, query: Query, k: int, within: Within | None = None) -> list[tuple[int, float]]:
        """Return (number, cosine) of the `k` images nearest to the query except itself, best first.

        Within a class the search is exact.
        """
        if within is None:
            scores, numbers = self.index.query(query.features, k + 1)
        else:
            members = self.members(within)
            scores, places = nearest(query.features, self.features[members], k + 1)
            numbers = members[places]
        found = zip(numbers[0].tolist(), scores[0].tolist(), strict=True)
        return [(number, score) for number, score in found if number >= 0 and number != query.number][:k]

    def cosine(self, query: Query, number: int) -> float:
        """Compute the cosine of the query and image `number`."""
        return float(query.features[0] @ self.features[number])

    def members(self, within: Within) -> Tensor:
        """Return the numbers int64 [M] of the images of a class."""
        level, label = within
        return (self._labels[level] == label).nonzero().flatten()

    def labels(self, number: int) -> dict[str, str]:
        """Return the known classes of an image by level."""
        known = {level: self.items.label(level, number) for level in self.items.labels}
        return {level: label for level, label in known.items() if label is not None}

    def classes(self) -> dict[str, list[tuple[int, str, int]]]:
        """Return (label, name, number of images) of every class with images, by level."""
        names = self.items.class_names
        counts = {
            level: torch.bincount(column[column >= 0], minlength=len(names[level])).tolist()
            for level, column in self._labels.items()
        }
        present = {
            level: [(label, names[level][label], count) for label, count in enumerate(row) if count]
            for level, row in counts.items()
        }
        return {level: found for level, found in present.items() if found}


def number_below(count: int, text: str) -> int | None:
    """Parse a number from 0 to `count` - 1; None if `text` is not one."""
    number = int(text) if text.isdecimal() and len(text) < 12 else count
    return number if number < count else None
