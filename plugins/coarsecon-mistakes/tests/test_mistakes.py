"""The distance on a hierarchy small enough to count by hand."""

import torch
from coarsecon_mistakes import hierarchical_distance


def test_the_distance_counts_the_levels_that_differ():
    labels = {"fine": torch.tensor([0, 0, 1, 2]), "coarse": torch.tensor([0, 0, 0, 1])}
    neighbors = torch.tensor([[1, 2], [2, 3], [3, 0], [0, 1]])
    assert hierarchical_distance(labels, neighbors).tolist() == [[0, 1], [1, 2], [2, 1], [2, 2]]
