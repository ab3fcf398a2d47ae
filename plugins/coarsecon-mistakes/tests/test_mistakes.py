"""Distances of neighbors on features small enough to count by hand."""

from types import SimpleNamespace

import pytest
import torch
from coarsecon_mistakes import Mistakes


def run_of(labels):
    """A stand-in for a run with four groups of two images; images of one group are nearest to each other."""
    angles = torch.tensor([0.0, 0.1, 0.3, 0.41, 1.5, 1.6, 3.0, 3.1])
    columns = {level: torch.tensor(column) for level, column in labels.items()}
    levels = {level: [str(i) for i in range(int(column.max()) + 1)] for level, column in columns.items()}
    dataset = SimpleNamespace(
        root="data", info=SimpleNamespace(levels=levels), splits={"train": SimpleNamespace(labels=columns)}
    )
    return SimpleNamespace(
        dataset=dataset,
        default_split=lambda: "train",
        labels=lambda split: {level: [column] for level, column in columns.items()},
        features=lambda split: torch.stack([angles.cos(), angles.sin()], 1),
        warn_if_trained_on=lambda split: None,
    )


def test_the_distance_is_the_height_of_the_common_class():
    run = run_of({"fine": [0, 0, 0, 1, 1, 2, 2, 2], "coarse": [0, 0, 0, 0, 0, 1, 1, 1]})
    found = Mistakes().evaluate(run, Mistakes.Config())
    assert found["distance"] == pytest.approx((0 + 0 + 1 + 1 + 2 + 2 + 0 + 0) / 8)
    assert found["distance_of_mistakes"] == pytest.approx(6 / 4)


def test_levels_outside_of_the_hierarchy_do_not_count():
    labels = {"fine": [0, 0, 0, 1, 1, 2, 2, 2], "coarse": [0, 0, 0, 0, 0, 1, 1, 1]}
    colors = {"color": [0, 1, 0, 1, 0, 1, 0, 1]}
    distances = [Mistakes().evaluate(run_of(each), Mistakes.Config())["distance"] for each in (labels, labels | colors)]
    assert distances[0] == distances[1]
