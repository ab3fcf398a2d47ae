"""The loss of TEMI, against its equation, and what its heads find."""

import math

import torch
from discovery.test_groups import blobs

from coarsecon.discovery.kmeans import KMeans, soft_assignment
from coarsecon.discovery.temi import TEMI, temi_loss
from coarsecon.search.exact import l2_normalize


def test_the_loss_is_the_equation_for_each_pair_and_head() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(6, 2, 4, generator=generator).softmax(2) for _ in range(2))
    mean = teacher.mean(0)
    expected = torch.zeros(2)
    for first, second in ((0, 3), (1, 4), (2, 5), (3, 0), (4, 1), (5, 2)):
        weight = sum(float((teacher[first, h] * teacher[second, h]).sum()) for h in range(2)) / 2
        for h in range(2):
            inside = sum(
                float(student[first, h, c] * teacher[second, h, c]) ** 0.6 / float(mean[h, c]) for c in range(4)
            )
            expected[h] -= weight * math.log(inside) / 6
    torch.testing.assert_close(temi_loss(student, teacher, mean, 0.6), expected)


def test_heads_find_clusters_that_nuisance_hides_from_kmeans() -> None:
    generator = torch.Generator().manual_seed(0)
    features, labels = blobs([150, 150], spread=0.6, noise=0.3)
    nuisance = l2_normalize(torch.randn(1, 64, generator=generator))
    features = l2_normalize(features + 0.8 * torch.randn(300, 1, generator=generator) * nuisance)
    agreement = {}
    for model in (KMeans(KMeans.Config()), TEMI(TEMI.Config(restarts=4, neighbors=10))):
        (found,) = model.fit([features], [2], seed=0)
        share = (found.argmax(1) == labels).float().mean()
        agreement[type(model)] = float(max(share, 1 - share))
    assert agreement[KMeans] < 0.75
    assert agreement[TEMI] > 0.95


def test_an_image_is_in_its_own_cluster_even_if_another_mean_is_nearer() -> None:
    features = l2_normalize(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.95, 0.05]]))
    clusters = torch.tensor([0, 0, 1, 1])
    found = soft_assignment(features, clusters, 2)
    assert torch.equal(found.argmax(1), clusters)
    torch.testing.assert_close(found.sum(1), torch.ones(4))
