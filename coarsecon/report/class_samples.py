"""Sample images of every class for a contact sheet."""

from itertools import groupby

import numpy as np
import torch

from coarsecon.data.prepared.store import PreparedDataset, Split
from coarsecon.data.prepared.subset import draw_evenly
from coarsecon.report.samples import SampleBlock, SampleRow

UNKNOWN = "unlabeled"


def sample_blocks(
    dataset: PreparedDataset, name: str, *, per_class: int, classes: int, seed: int
) -> tuple[list[SampleBlock], int]:
    """Draw up to `per_class` images of each fine class, grouped by coarse class.

    At most `classes` rows, drawn evenly over the coarse classes. Without a coarse level all fine classes are in one
    block; without fine labels each coarse class is one row.

    Returns:
        The blocks, and the number of rows left out.
    """
    split = dataset.split(name)
    coarse, coarse_names = _level(dataset, split, "coarse", "all classes")
    fine, fine_names = _level(dataset, split, "fine", "")
    rng = np.random.default_rng(seed)
    pairs = [(group, kind) for group in _classes(coarse) for kind in _classes(fine[coarse == group])]
    drawn = [pairs[i] for i in draw_evenly(torch.tensor([group for group, _ in pairs]), classes, seed).tolist()]
    blocks: list[SampleBlock] = []
    for group, own in groupby(drawn, key=lambda pair: pair[0]):
        rows = []
        for _, kind in own:
            members = np.flatnonzero((coarse == group) & (fine == kind))
            chosen = np.sort(rng.permutation(members)[:per_class])
            images = [split.image(i) for i in chosen.tolist()]
            rows.append(SampleRow(fine_names[kind], len(members), images))
        blocks.append(SampleBlock(coarse_names[group], int((coarse == group).sum()), rows))
    return blocks, len(pairs) - len(drawn)


def _classes(labels: np.ndarray) -> list[int]:
    """Return the classes that occur, the unknown one (-1) last."""
    found: list[int] = np.unique(labels).tolist()
    return sorted(found, key=lambda label: (label < 0, label))


def _level(dataset: PreparedDataset, split: Split, level: str, all_: str) -> tuple[np.ndarray, list[str]]:
    """Return the labels and names of a level, -1 being the last name; one class if there is no such level."""
    if level not in dataset.info.levels:
        return np.zeros(len(split), np.int64), [all_]
    return split.labels[level].numpy(), [*dataset.info.levels[level], UNKNOWN]
