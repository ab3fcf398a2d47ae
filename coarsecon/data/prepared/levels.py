"""Describe the hierarchy of the label levels of a dataset: its levels, and the images that contradict it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from coarsecon.data.prepared.fine_names import name_within
from coarsecon.data.prepared.hierarchy import Hierarchy, Refinement, find_hierarchy, refinement
from coarsecon.data.prepared.store import PreparedDataset

EXAMPLES = 3
"""Images or classes named in a sentence."""
MAX_RARE = 0.1
"""Size of a class, as a fraction of that of the class of the same name, up to which it may be a mistake."""


def dataset_hierarchy(dataset: PreparedDataset, levels: Sequence[str] | None = None) -> Hierarchy:
    """Detect the hierarchy of the label levels over all splits of a dataset, label columns included, or of `levels`."""
    labels = _joined(dataset)
    chosen = {level: labels[level] for level in (labels if levels is None else levels)}
    return find_hierarchy(chosen, {level: len(names) for level, names in dataset.info.levels.items()})


def dataset_notes(dataset: PreparedDataset) -> list[str]:
    """Describe the hierarchy of a dataset as `hierarchy_notes` does, with images as split/name."""
    hierarchy = dataset_hierarchy(dataset)
    return hierarchy_notes(hierarchy, _joined(dataset), dataset.info.levels, _places(dataset))


def hierarchy_facts(dataset: PreparedDataset) -> dict[str, Any]:
    """Return the hierarchy as JSON: its levels, the parents of their classes, all contradictions, other levels."""
    hierarchy = dataset_hierarchy(dataset)
    names, places = dataset.info.levels, _places(dataset)
    return {
        "levels": list(hierarchy.levels),
        "parents": {
            level: {name: names[above][parent] if parent >= 0 else None
                    for name, parent in zip(names[level], hierarchy.parents[level].tolist(), strict=True)}
            for above, level in pairwise(hierarchy.levels)
        },
        "contradictions": [_pair_facts(pair, places) for pair in hierarchy.contradictions],
        "outside": {
            level: {"reason": found.reason, "nearest": found.nearest and _pair_facts(found.nearest, places)}
            for level, found in hierarchy.outside.items()
        },
    }  # fmt: skip


def level_below(hierarchy: Hierarchy, within: str) -> str | None:
    """Return the level whose classes subdivide those of `within`: fine if it may, else the finest one; None without.

    Levels outside of the hierarchy subdivide, and are subdivided by, all others.
    """
    levels = hierarchy.levels
    below = levels[levels.index(within) + 1 :] if within in levels else levels
    if within != "fine" and "fine" in (*below, *hierarchy.outside):
        return "fine"
    return below[-1] if below else None


def hierarchy_notes(
    hierarchy: Hierarchy,
    labels: Mapping[str, Tensor],
    levels: Mapping[str, Sequence[str]],
    places: Sequence[str],
    *,
    only_contradictions: bool = False,
) -> list[str]:
    """Describe the hierarchy in sentences.

    Args:
        hierarchy: The hierarchy that was found in `labels`.
        labels: Labels int64 [N] of each level.
        levels: Class names of each level.
        places: Names of the images [N].
        only_contradictions: Leave out the list of levels, and levels outside that no image contradicts.
    """
    if len(labels) < 2:
        return []
    chain = ", ".join(f"{level} ({len(levels[level]):,} classes)" for level in hierarchy.levels)
    is_listed = len(hierarchy.levels) > 1 and not only_contradictions
    notes = [f"Label levels from coarsest to finest: {chain}."] if is_listed else []
    notes += [
        f"{len(pair.contradicting):,} of {pair.images:,} images contradict the hierarchy: "
        f"{_examples(pair, labels, levels, places)}."
        for pair in hierarchy.contradictions
    ]
    for level, found in hierarchy.outside.items():
        if only_contradictions and not found.nearest:
            continue
        note = f"The level {level} is not part of the hierarchy, as it {found.reason}"
        if pair := found.nearest:
            count = f"{len(pair.contradicting):,} of {pair.images:,} images contradict"
            note += f": {count} ({_examples(pair, labels, levels, places)})"
        notes.append(f"{note}.")
    return notes + _rare_notes(labels, levels, places)


def _rare_notes(labels: Mapping[str, Tensor], levels: Mapping[str, Sequence[str]], places: Sequence[str]) -> list[str]:
    """Describe fine classes that have few images, and the name of a larger class inside another coarse class.

    Fine classes of one name in two coarse classes are two classes, so a wrong coarse label makes another fine class.
    """
    if not {"coarse", "fine"} <= labels.keys():
        return []
    parents = refinement(labels, "fine", "coarse", len(levels["fine"])).parents.tolist()
    sizes = labels["fine"][labels["fine"] >= 0].bincount(minlength=len(parents)).tolist()
    of_name = defaultdict(list)
    for label, (written, parent) in enumerate(zip(levels["fine"], parents, strict=True)):
        if parent >= 0:
            of_name[name_within(written, levels["coarse"][parent])].append(label)
    rare = [(label, largest) for same in of_name.values() for largest in [max(same, key=sizes.__getitem__)]
            for label in same if sizes[label] <= MAX_RARE * sizes[largest]]  # fmt: skip
    first = {label: int((labels["fine"] == label).nonzero()[0]) for label, _ in rare[:EXAMPLES]}
    described = [
        f"{levels['fine'][label]} ({sizes[label]:,}, such as {places[first[label]]}) "
        f"and {levels['fine'][largest]} ({sizes[largest]:,})"
        for label, largest in rare[:EXAMPLES]
    ]
    more = f", and {len(rare) - EXAMPLES} more" * (len(rare) > EXAMPLES)
    return [f"Fine classes of one name, one of them with few images: {'; '.join(described)}{more}."] if rare else []


def _joined(dataset: PreparedDataset) -> dict[str, Tensor]:
    """Return the labels of all splits, one after the other."""
    splits = [split.labels for split in dataset.splits.values()]
    return {level: torch.cat([labels[level] for labels in splits]) for level in dataset.info.levels}


def _places(dataset: PreparedDataset) -> list[str]:
    return [f"{name}/{image}" for name, split in dataset.splits.items() for image in split.names]


def _examples(
    pair: Refinement, labels: Mapping[str, Tensor], levels: Mapping[str, Sequence[str]], places: Sequence[str]
) -> str:
    """Name the first images of a contradiction: "train/a.jpg is in vegetables, other images of lemon in citrus"."""
    found = []
    for image in pair.contradicting[:EXAMPLES].tolist():
        fine, coarse = int(labels[pair.finer][image]), int(labels[pair.coarser][image])
        finer, names = levels[pair.finer][fine], levels[pair.coarser]
        usual = names[int(pair.parents[fine])]
        found.append(
            f"{places[image]} is {pair.coarser} {names[coarse]}, but most images of {pair.finer} {finer} are {usual}"
        )
    return "; ".join(found) + "; ..." * (len(pair.contradicting) > EXAMPLES)


def _pair_facts(pair: Refinement, places: Sequence[str]) -> dict[str, Any]:
    images = [places[image] for image in pair.contradicting.tolist()]
    return {"finer": pair.finer, "coarser": pair.coarser, "images": pair.images, "contradicting": images}
