"""Labels of queries and gallery at the levels that both know, which may be of two datasets.

When two classes of two datasets are the same, `coarsecon.data.prepared.classes` defines.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from coarsecon.data.prepared.classes import class_keys, fine_first, matching
from coarsecon.data.prepared.levels import dataset_hierarchy
from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.evaluation.mistakes import MIN_LEVELS
from coarsecon.metrics.query_ranks import LabelPairs

NO_COMMON = ", or they share no class name; fine classes are the same if their coarse classes are called the same, too"


def paired_labels(queries: SplitRef, gallery: SplitRef, level: str | None = None) -> LabelPairs:
    """The labels of both at every level where they share a class, numbered as in the queries' dataset.

    With `level`, only at this one, which may be a label column.

    Raises:
        InputError: there is no such level.
    """
    pairs = _pairs(queries, gallery, fine_first(queries.dataset.default_levels) if level is None else [level])
    if not pairs:
        same = queries.checksum == gallery.checksum
        where = queries.title if same else f"{queries.title} and {gallery.title} together"
        which = "no level of labels is known" if level is None else f"{level} labels are not known"
        raise InputError(where, which + ("" if same else NO_COMMON))
    return pairs


def nested_labels(queries: SplitRef, gallery: SplitRef, level: str | None = None) -> LabelPairs:
    """The labels of both at the levels of the hierarchy of the queries' dataset, coarsest first; empty if below three.

    With `level`, which may be a label column, the hierarchy ends there, and may have two levels.
    """
    if level is None:
        levels = dataset_hierarchy(queries.dataset, queries.dataset.default_levels).levels
        pairs = _pairs(queries, gallery, levels)
        return pairs if len(pairs) >= MIN_LEVELS else {}
    levels = dataset_hierarchy(queries.dataset).levels
    pairs = _pairs(queries, gallery, levels[: levels.index(level) + 1] if level in levels else ())
    return pairs if level in pairs and len(pairs) > 1 else {}


def _pairs(queries: SplitRef, gallery: SplitRef, levels: Sequence[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """The labels of both at those of the levels where they share a class."""
    asked, among = (part.dataset.split(part.split).labels for part in (queries, gallery))
    pairs = {
        level: (asked[level], _renumbered(among[level], gallery.dataset, queries.dataset, level))
        for level in levels
        if level in among
    }
    return {level: pair for level, pair in pairs.items() if _share_a_class(*pair)}


def _renumbered(labels: Tensor, dataset: PreparedDataset, wanted: PreparedDataset, level: str) -> Tensor:
    """labels [N] of a dataset as numbers of the classes of another; other classes come after those."""
    if dataset is wanted:
        return labels
    others = len(wanted.info.levels[level])
    found = matching(class_keys(dataset, level), class_keys(wanted, level))
    numbers = torch.tensor([number if number >= 0 else others + i for i, number in enumerate(found)])
    return torch.where(labels >= 0, numbers[labels], -1)


def _share_a_class(one: Tensor, other: Tensor) -> bool:
    return bool(torch.isin(one[one >= 0], other[other >= 0]).any())
