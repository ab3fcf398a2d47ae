"""Identify classes across datasets: a fine class by its coarse class and its name, others by their name.

`dataset.json` holds what `fine_names` writes. The coarse class follows from the labels, and from both the name.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from coarsecon.data.formats.names import canonical
from coarsecon.data.prepared.fine_names import name_within
from coarsecon.data.prepared.store import PreparedDataset


class ClassKey(NamedTuple):
    """A class: its written name, its coarse class if the labels show a single one, and its name within that."""

    written: str
    coarse: str | None
    name: str


def class_keys(dataset: PreparedDataset, level: str) -> list[ClassKey]:
    """Return the classes of a level in order."""
    written = [canonical(name) for name in dataset.info.levels[level]]
    if level != "fine" or "coarse" not in dataset.info.levels:
        return [ClassKey(text, None, text) for text in written]
    coarse = [canonical(name) for name in dataset.info.levels["coarse"]]
    keys = []
    for text, parent in zip(written, _parents(dataset, len(coarse)), strict=True):
        above = coarse[parent] if parent >= 0 else None
        keys.append(ClassKey(text, above, text if above is None else name_within(text, above)))
    return keys


def matching(classes: Sequence[ClassKey], others: Sequence[ClassKey]) -> list[int]:
    """Return for each class the index of the same class in `others`, -1 if there is none or several.

    Two classes with known coarse classes are the same if these and their names are equal, others if their written
    names are equal.
    """
    by_name = _numbers([(key.coarse, key.name) if key.coarse is not None else None for key in others])
    by_text = _numbers([key.written for key in others])
    unplaced = _numbers([key.written if key.coarse is None else None for key in others])
    return [
        by_text.get(key.written, -1)
        if key.coarse is None
        else by_name.get((key.coarse, key.name), unplaced.get(key.written, -1))
        for key in classes
    ]


def _numbers(keys: Sequence[object]) -> dict[object, int]:
    """Return the index of every key that occurs once; None is not a key."""
    counts = Counter(keys)
    return {key: number for number, key in enumerate(keys) if key is not None and counts[key] == 1}


def _parents(dataset: PreparedDataset, coarse_classes: int) -> list[int]:
    """Return the coarse class of each fine class over all splits; -1 if there is none or several."""
    parents = [-1] * len(dataset.info.levels["fine"])
    seen: set[int] = set()
    columns = [split.labels for split in dataset.splits.values()]
    fine, coarse = (torch.cat([labels[level] for labels in columns]) for level in ("fine", "coarse"))
    known = (fine >= 0) & (coarse >= 0)
    for pair in (fine[known] * coarse_classes + coarse[known]).unique().tolist():
        child, parent = divmod(pair, coarse_classes)
        parents[child] = -1 if child in seen else parent
        seen.add(child)
    return parents


def fine_first(levels: Iterable[str]) -> list[str]:
    """Return the names of label levels in the order of results: fine, coarse, then the others by name."""
    return sorted(levels, key=lambda level: (level != "fine", level != "coarse", level))
