"""Distances of neighbors in the hierarchy of labels, against the heights of the common ancestors of every pair."""

import pytest
import torch

from coarsecon.data.prepared.hierarchy import find_hierarchy
from coarsecon.metrics.mistakes import height_counts, hierarchical_distances
from coarsecon.metrics.query_ranks import Search
from coarsecon.metrics.retrieval import retrieval_values

LEVELS = ("department", "category", "product")
KS = (1, 5, 10)


def three_levels(images: int) -> dict[str, torch.Tensor]:
    product = torch.arange(images) % 12
    return {"department": product // 6, "category": product // 3, "product": product}


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_distance_is_that_of_the_nearest_items(seed: int) -> None:
    features = torch.randn(60, 8, generator=torch.Generator().manual_seed(seed))
    labels = three_levels(60)
    hierarchy = find_hierarchy(labels, {"department": 2, "category": 4, "product": 12})
    assert hierarchy.levels == LEVELS
    search = Search.among(features)
    values = retrieval_values(search, {level: (column, column) for level, column in labels.items()})
    found = hierarchical_distances(values, LEVELS, KS)
    scores = (search.queries @ search.gallery.T).fill_diagonal_(-torch.inf)
    for k in KS:
        nearest = scores.topk(k).indices
        expected = hierarchy.distance(labels["product"][:, None], labels["product"][nearest]).float().mean(1)
        assert torch.allclose(found[f"distance@{k}"], expected, atol=1e-5)
    heights = hierarchy.distance(labels["product"], labels["product"][scores.argmax(1)])
    assert height_counts(found["distance@1"], 3) == heights.bincount(minlength=4).tolist()


def test_equal_scores_put_the_farthest_item_first() -> None:
    labels = {level: (column, column) for level, column in three_levels(24).items()}
    values = retrieval_values(Search.among(torch.ones(24, 4)), labels)
    assert hierarchical_distances(values, LEVELS, [1])["distance@1"].tolist() == [3.0] * 24


def test_a_query_without_a_label_of_a_level_has_no_distance() -> None:
    labels = three_levels(24)
    labels["category"][0] = -1
    pairs = {level: (column, column) for level, column in labels.items()}
    features = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
    distances = hierarchical_distances(retrieval_values(Search.among(features), pairs), LEVELS, [1])["distance@1"]
    assert distances.isnan().tolist() == [True] + [False] * 23
    assert sum(height_counts(distances, 3)) == 23
