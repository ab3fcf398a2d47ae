"""The nearest images of a query, among all of a split or within one class of it."""

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
from coarsecon.search.exact import nearest
from coarsecon.search.index import EXACT, SearchIndex

RECENT = 1000
"""Uploaded queries whose features are kept, so that they can be asked again without the image."""

Within = tuple[str, int]
"""A class to search in: its level and its label."""


@dataclass(frozen=True)
class Query:
    """What is searched with: unit features [1, D], and `number` where it is an image of the split itself."""

    id: str
    name: str
    features: Tensor
    number: int | None = None


class Finder:
    """Searches the images of a split for uploaded images and for its own; several threads may ask at once.

    Args:
        split: what the images are called together.
        index: an index of their features, with their table.
        features: the same features, unit float32 [N, D], for exact search within a class.
        pixels: `pixels(i)` is image i, uint8 [H, W, 3].
        embed: unit features [1, D] of an encoded image; raises InputError when it is none.
    """

    def __init__(
        self,
        split: str,
        index: SearchIndex,
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
    def of(cls, session: Run, split: str, factory: str = EXACT) -> Self:
        """A split of a session's dataset, by an index of that FAISS factory string; the run keeps an approximate one.

        Raises:
            InputError: there is no such split, or no such index can be built.
        """
        collection = session.collection(split)
        if factory == EXACT:
            index = SearchIndex.build(collection.features, collection.items)
        else:
            index = stored_index(session, collection, split, factory)
        store = session.store
        size = store.encoder.card.input.size
        features = index.vectors if index.exact else collection.features
        return cls(split, index, features, collection.pixels, lambda data: store.images([as_prepared(data, size)]))

    def uploaded(self, data: bytes, name: str) -> Query:
        """The query of an encoded image; raises InputError when it cannot be read."""
        try:
            features = self.embed(data)
        except InputError as error:
            raise InputError(str(error).replace("the image:", f"{name}:", 1)) from None
        query = Query(hashlib.sha256(data).hexdigest(), name, features)
        with self._lock:
            self._recent[query.id] = query
            self._recent.move_to_end(query.id)
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        return query

    def query(self, id: str) -> Query | None:
        """The query of this id: a recent upload's, or `SPLIT:NUMBER` for an image of the split; None without any."""
        split, _, text = id.rpartition(":")
        number = number_below(len(self.items), text)
        if split == self.split and number is not None:
            return Query(f"{split}:{number}", self.items.names[number], self.features[number][None], number)
        with self._lock:
            return self._recent.get(id)

    def neighbors(self, query: Query, k: int, within: Within | None = None) -> list[tuple[int, float]]:
        """(number, cosine) of the `k` images nearest to the query, itself left out, best first.

        Within a class the search is exact, and looks at every image of it.
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
        """The cosine of the query and image `number`."""
        return float(query.features[0] @ self.features[number])

    def members(self, within: Within) -> Tensor:
        """The numbers int64 [M] of the images of a class."""
        level, label = within
        return (self._labels[level] == label).nonzero().flatten()

    def labels(self, number: int) -> dict[str, str]:
        """The classes of an image by level, where they are known."""
        known = {level: self.items.label(level, number) for level in self.items.labels}
        return {level: label for level, label in known.items() if label is not None}

    def classes(self) -> dict[str, list[tuple[int, str, int]]]:
        """(label, name, images) of every class that has images, by level."""
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
    """The number from 0 to `count` - 1 that `text` is; None where it is none."""
    number = int(text) if text.isdecimal() and len(text) < 12 else count
    return number if number < count else None
