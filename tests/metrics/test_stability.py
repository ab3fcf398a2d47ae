"""Criteria without fine labels agree with naive loops, closed forms, and extreme cases."""

import numpy as np
import pytest
import torch

from coarsecon.errors import InputError
from coarsecon.metrics.stability import chance_of_agreement, cluster_stability, view_agreement


def features(count: int, dim: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def naive_agreement(first, second, labels):
    unit = [torch.nn.functional.normalize(each, dim=1).numpy() for each in (first, second)]
    found = []
    for i, label in enumerate(labels.tolist()):
        others = [j for j, other in enumerate(labels.tolist()) if other == label]
        if label < 0 or len(others) < 2:
            found.append(np.nan)
            continue
        cosines = [float(unit[0][i] @ unit[1][j]) for j in others]
        found.append(float(others[int(np.argmax(cosines))] == i))
    return np.array(found)


def test_view_agreement_equals_a_naive_loop():
    first = features(60)
    second = first + 0.8 * features(60, seed=1)
    labels = torch.arange(60) % 5 - 1
    labels[3] = 9  # the only image of its class
    found = view_agreement(first, second, labels).numpy()
    assert np.array_equal(found, naive_agreement(first, second, labels), equal_nan=True)
    assert 0.2 < np.nanmean(found) < 1


def test_identical_views_agree_and_a_collapsed_embedding_has_the_accuracy_of_chance():
    images, labels = features(40), torch.arange(40) % 4
    assert view_agreement(images, images, labels).tolist() == [1.0] * 40
    collapsed = torch.ones(40, 8)
    assert view_agreement(collapsed, collapsed, labels).mean() == pytest.approx(chance_of_agreement(labels))
    assert chance_of_agreement(labels) == pytest.approx(1 / 10)


def test_chance_needs_a_class_of_two_images():
    with pytest.raises(InputError, match="no class has two images"):
        chance_of_agreement(torch.tensor([0, 1, 2, -1]))


def grouped(noise: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two views of 2 classes of 40 images, each of 4 groups around orthogonal directions."""
    group = torch.arange(80) % 4
    centers = torch.eye(8)[group]
    return centers + noise * features(80, seed=1), centers + noise * features(80, seed=2), torch.arange(80) // 40


def test_clusters_are_stable_where_there_are_groups():
    mean, interval = cluster_stability(*grouped(0.01), clusters=[4])
    assert mean == pytest.approx(1)
    assert interval == pytest.approx(0, abs=1e-9)


def test_noise_has_no_stable_clusters():
    views, labels = (features(80, seed=3), features(80, seed=4)), torch.arange(80) // 40
    mean, interval = cluster_stability(*views, labels)
    assert abs(mean) < 0.15
    assert interval > 0
    assert cluster_stability(*grouped(0.15), clusters=[4])[0] > mean + 0.3


def test_a_seed_gives_one_result_and_unknown_labels_do_not_count():
    first, second, labels = grouped(0.4)
    known = cluster_stability(first[:40], second[:40], labels[:40], repeats=2, seed=5)
    labels[40:] = -1
    assert cluster_stability(first, second, labels, repeats=2, seed=5) == known


def test_classes_that_are_too_small_are_an_error():
    with pytest.raises(InputError, match="no class has 8 images"):
        cluster_stability(features(14), features(14), torch.arange(14) // 7)
