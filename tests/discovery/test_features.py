"""Features prepared for clustering, against naive references."""

import pytest
import torch
from discovery.test_groups import blobs

from coarsecon.discovery.features import (
    average_with_neighbors,
    center,
    cluster_scatter,
    nearest_neighbors,
    neighbor_scatter,
    whiten,
)
from coarsecon.search.exact import l2_normalize


def rows(count: int = 30, dim: int = 6, seed: int = 0) -> torch.Tensor:
    return l2_normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)))


def test_neighbors_are_the_nearest_other_images_in_every_block() -> None:
    features = rows()
    distances = torch.cdist(features, features).fill_diagonal_(9)
    assert torch.equal(nearest_neighbors(features, 4, block=7), distances.topk(4, largest=False).indices)
    assert nearest_neighbors(features[:3], 10).shape == (3, 2)


def test_an_average_with_neighbors_is_half_the_image_and_half_their_mean() -> None:
    features = rows()
    near = nearest_neighbors(features, 3)
    expected = l2_normalize(torch.stack([features[i] + features[near[i]].mean(0) for i in range(30)]))
    torch.testing.assert_close(average_with_neighbors(features, 3), expected)
    assert torch.equal(average_with_neighbors(features, 0), features)


def test_centered_features_have_unit_length_around_the_mean() -> None:
    features = rows() + 1
    torch.testing.assert_close(center(features), l2_normalize(features - features.mean(0)))


def test_scatters_equal_their_definitions() -> None:
    classes = [rows(12), rows(9, seed=1)]
    expected, pairs = torch.zeros(6, 6), 0
    for features in classes:
        for i, near in enumerate(nearest_neighbors(features, 2)):
            for j in near:
                expected += torch.outer(features[i] - features[j], features[i] - features[j])
                pairs += 1
    torch.testing.assert_close(neighbor_scatter(classes, 2), expected / pairs)
    clusters = [torch.arange(12) % 3, torch.arange(9) % 2]
    expected = torch.zeros(6, 6)
    for features, own in zip(classes, clusters, strict=True):
        for row, cluster in zip(features, own, strict=True):
            difference = row - features[own == cluster].mean(0)
            expected += torch.outer(difference, difference)
    torch.testing.assert_close(cluster_scatter(classes, clusters), expected / 21)


def test_whitening_keeps_what_distinguishes_clusters_and_drops_what_varies_inside() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat(100)
    features = 0.1 * torch.randn(200, 5, generator=generator)
    features[:, 0] += labels
    features[:, 1] += 4 * torch.randn(200, generator=generator)
    (found,) = whiten([features], cluster_scatter([features], [labels]), components=1, shrinkage=0.0)
    assert found.shape == (200, 1)
    side = found[:, 0] > 0
    assert torch.equal(side if side[labels == 1].all() else ~side, labels.bool())


@pytest.mark.parametrize("components", [3, 100])
def test_whitened_features_have_unit_length(components: int) -> None:
    classes = [blobs([20, 20], dim=16)[0], blobs([5], dim=16)[0]]
    found = whiten(classes, neighbor_scatter(classes), components=components, shrinkage=1.0)
    assert [each.shape for each in found] == [(40, min(components, 16)), (5, min(components, 16))]
    torch.testing.assert_close(found[0].norm(dim=1), torch.ones(40))
