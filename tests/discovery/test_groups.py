"""Clusters where the truth is known: their number, their members, their order, and what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from coarsecon.discovery.agglomerative import Agglomerative
from coarsecon.discovery.base import Clustering
from coarsecon.discovery.falcon import FALCON
from coarsecon.discovery.groups import find_clusters, images_by_class, overall
from coarsecon.discovery.kmeans import KMeans
from coarsecon.discovery.mixture import Mixture
from coarsecon.discovery.number import known_counts
from coarsecon.discovery.scgm import SCGM
from coarsecon.discovery.temi import TEMI
from coarsecon.errors import InputError
from coarsecon.metrics.agreement import agreement
from coarsecon.search.exact import l2_normalize


def blobs(sizes: list[int], *, spread: float = 0.5, noise: float = 0.5, dim: int = 64, seed: int = 0) -> Any:
    """Unit features around one common direction, a blob for each size, and which blob each is of."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    centers = l2_normalize(
        l2_normalize(torch.randn(1, dim, generator=generator))
        + spread * l2_normalize(torch.randn(len(sizes), dim, generator=generator))
    )
    return l2_normalize(centers[labels] + noise * torch.randn(len(labels), dim, generator=generator) / dim**0.5), labels


def two_classes() -> tuple[Tensor, Tensor, Tensor]:
    """Features, coarse and fine labels: three blobs in one coarse class, two in another, in mixed order."""
    first, one = blobs([30, 50, 40])
    second, two = blobs([20, 25], seed=1)
    order = torch.randperm(165, generator=torch.Generator().manual_seed(2))
    coarse = torch.tensor([0] * 120 + [1] * 45)
    return torch.cat([first, second])[order], coarse[order], torch.cat([one, two + 3])[order]


EACH = pytest.mark.parametrize("model", [KMeans, Mixture, Agglomerative, FALCON, SCGM, TEMI])


def build(model: type[Clustering], **settings: Any) -> Clustering:
    return model(model.Config(**settings))


@pytest.mark.parametrize("model", [KMeans, Mixture, Agglomerative, FALCON, TEMI])
def test_clusters_are_the_hidden_classes_largest_first(model: type[Clustering]) -> None:
    features, coarse, fine = two_classes()
    counts = known_counts(images_by_class(coarse), fine)
    groups = find_clusters(features, coarse, build(model), counts)
    assert [group.label for group in groups] == [0, 1]
    assert [group.clusters.bincount().tolist() for group in groups] == [[50, 40, 30], [25, 20]]
    assert all(((group.probability > 0.3) & (group.probability <= 1)).all() for group in groups)
    whole = overall(groups, len(fine))
    found = agreement(whole, fine)
    assert found is not None
    assert (found["accuracy"], found["ari"], found["clusters"]) == (1, 1, 5)


@EACH
def test_a_seed_gives_one_result(model: type[Clustering]) -> None:
    features, coarse, _ = two_classes()
    one, two = (find_clusters(features, coarse, build(model), {0: 5, 1: 4}, seed=7) for _ in range(2))
    for first, again in zip(one, two, strict=True):
        assert torch.equal(first.clusters, again.clusters)
        assert torch.equal(first.probability, again.probability)


def test_typical_images_are_those_nearest_to_the_mean_and_the_margin_tells_the_doubtful() -> None:
    features, coarse, _ = two_classes()
    (group,) = find_clusters(features[coarse == 0], torch.zeros(120, dtype=torch.int64), build(KMeans), {0: 3})
    groups = [features[coarse == 0][group.clusters == i] for i in range(3)]
    means = torch.stack([l2_normalize(rows.sum(0, keepdim=True))[0] for rows in groups])
    cosines = features[coarse == 0] @ means.T
    best = cosines.topk(2)
    torch.testing.assert_close(group.typicality, best.values[:, 0])
    torch.testing.assert_close(group.margin, best.values[:, 0] - best.values[:, 1])
    first = group.most_typical(1)
    assert set(first.tolist()) == set((group.clusters == 1).nonzero().flatten().tolist())
    assert group.typicality[first].diff().max() <= 0


def test_features_count_by_direction() -> None:
    features, coarse, _ = two_classes()
    stretched = features * (1 + torch.rand(len(features), 1, generator=torch.Generator().manual_seed(0)))
    for one, two in zip(
        *(find_clusters(given, coarse, build(KMeans), {0: 4, 1: 4}) for given in (features, stretched)), strict=True
    ):
        assert torch.equal(one.clusters, two.clusters)


def test_images_without_a_coarse_label_are_in_no_cluster() -> None:
    features, coarse, _ = two_classes()
    coarse[::5] = -1
    whole = overall(find_clusters(features, coarse, build(KMeans), {0: 2, 1: 2}), len(coarse))
    assert torch.equal(whole < 0, coarse < 0)
    assert sorted(set(whole.tolist())) == [-1, 0, 1, 2, 3]


@EACH
@pytest.mark.parametrize("k", [1, 3])
def test_a_class_of_few_or_equal_images_has_no_more_clusters_than_it_can(model: type[Clustering], k: int) -> None:
    features = l2_normalize(torch.ones(5, 40))
    features[0, 0] = 0.5
    coarse = torch.tensor([0, 0, 0, 0, 1])
    groups = find_clusters(features, coarse, build(model), {0: k, 1: k})
    assert [len(group.images) for group in groups] == [4, 1]
    assert all(group.count <= k for group in groups)
    assert groups[1].count == 1
    assert groups[1].margin.isnan().all()


def test_an_image_unlike_its_cluster_is_an_outlier() -> None:
    features, _ = blobs([60], noise=0.2)
    features[17] = l2_normalize(torch.randn(1, 64, generator=torch.Generator().manual_seed(5)))[0]
    (group,) = find_clusters(features, torch.zeros(60, dtype=torch.int64), build(KMeans), {0: 1})
    assert group.images[group.outlier].tolist() == [17]


def test_without_a_coarse_or_a_fine_label_nothing_is_clustered() -> None:
    features, coarse, fine = two_classes()
    with pytest.raises(InputError, match="coarse labels: no image has one"):
        find_clusters(features, torch.full_like(coarse, -1), build(KMeans), {})
    members = images_by_class(coarse)
    for unknown in (torch.where(coarse == 1, -1, fine), None):
        with pytest.raises(InputError, match="oracle"):
            known_counts(members, unknown)
