"""Clusters where the truth is known: their number, their members, their order, and what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.metrics.agreement import agreement
from coarsecon.metrics.cluster import estimate_k, find_clusters, overall
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


@pytest.mark.parametrize(
    ("sizes", "seed"), [([120], 0), ([60, 60], 1), ([30, 90], 2), ([40, 50, 60, 70], 3), ([40] * 6, 4)]
)
def test_the_number_of_well_told_clusters_is_found(sizes: list[int], seed: int) -> None:
    k, strengths = estimate_k(blobs(sizes, seed=seed)[0], max_k=8)
    assert k == len(sizes)
    assert set(strengths) == set(range(1, 9))
    assert strengths[k] >= 0.8
    assert all(strength < 0.8 for tried, strength in strengths.items() if tried > k)


def test_without_structure_there_is_one_cluster() -> None:
    features = l2_normalize(torch.randn(300, 32, generator=torch.Generator().manual_seed(0)))
    assert estimate_k(features, max_k=6)[0] == 1


@pytest.mark.parametrize("model", ["kmeans", "mixture"])
@pytest.mark.parametrize("k", ["oracle", "auto"])
def test_clusters_are_the_hidden_classes_largest_first(model: Any, k: Any) -> None:
    features, coarse, fine = two_classes()
    groups = find_clusters(features, coarse, k=k, fine=fine, model=model, max_k=6, restarts=3)
    assert [group.label for group in groups] == [0, 1]
    assert [group.clusters.bincount().tolist() for group in groups] == [[50, 40, 30], [25, 20]]
    whole = overall(groups, len(fine))
    found = agreement(whole, fine)
    assert found is not None
    assert (found["accuracy"], found["ari"], found["clusters"]) == (1, 1, 5)
    assert all((group.strengths is None) == (k == "oracle") for group in groups)


def test_typical_images_are_those_nearest_to_the_mean_and_the_margin_tells_the_doubtful() -> None:
    features, coarse, _ = two_classes()
    (group,) = find_clusters(features[coarse == 0], torch.zeros(120, dtype=torch.int64), k=3)
    groups = [features[coarse == 0][group.clusters == i] for i in range(3)]
    means = torch.stack([l2_normalize(rows.sum(0, keepdim=True))[0] for rows in groups])
    cosines = features[coarse == 0] @ means.T
    best = cosines.topk(2)
    torch.testing.assert_close(group.typicality, best.values[:, 0])
    torch.testing.assert_close(group.margin, best.values[:, 0] - best.values[:, 1])
    first = group.most_typical(1)
    assert set(first.tolist()) == set((group.clusters == 1).nonzero().flatten().tolist())
    assert group.typicality[first].diff().max() <= 0


def test_features_count_by_direction_and_a_seed_gives_one_result() -> None:
    features, coarse, _ = two_classes()
    stretched = features * (1 + torch.rand(len(features), 1, generator=torch.Generator().manual_seed(0)))
    first, again, other = (
        find_clusters(given, coarse, k=4, restarts=1, seed=seed)
        for given, seed in ((features, 0), (features, 0), (stretched, 0))
    )
    for one, two, three in zip(first, again, other, strict=True):
        assert torch.equal(one.clusters, two.clusters)
        assert torch.equal(one.clusters, three.clusters)


def test_images_without_a_coarse_label_are_in_no_cluster() -> None:
    features, coarse, _ = two_classes()
    coarse[::5] = -1
    whole = overall(find_clusters(features, coarse, k=2), len(coarse))
    assert torch.equal(whole < 0, coarse < 0)
    assert sorted(set(whole.tolist())) == [-1, 0, 1, 2, 3]


@pytest.mark.parametrize("model", ["kmeans", "mixture"])
@pytest.mark.parametrize("k", [1, 3, "auto"])
def test_a_class_of_few_or_equal_images_has_no_more_clusters_than_it_can(model: Any, k: Any) -> None:
    features = l2_normalize(torch.ones(5, 40))
    features[0, 0] = 0.5
    coarse = torch.tensor([0, 0, 0, 0, 1])
    groups = find_clusters(features, coarse, k=k, model=model, restarts=1)
    assert [len(group.images) for group in groups] == [4, 1]
    assert all(group.count <= (k if k != "auto" else 1) for group in groups)
    assert groups[1].count == 1
    assert groups[1].margin.isnan().all()


def test_what_cannot_be_clustered_is_refused() -> None:
    features, coarse, fine = two_classes()
    with pytest.raises(InputError, match="coarse labels: no image has one"):
        find_clusters(features, torch.full_like(coarse, -1), k=2)
    with pytest.raises(InputError, match="oracle"):
        find_clusters(features, coarse, k="oracle", fine=torch.where(coarse == 1, -1, fine))
    with pytest.raises(InputError, match="oracle"):
        find_clusters(features, coarse, k="oracle")
