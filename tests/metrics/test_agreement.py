"""Agreement of clusters with labels against scikit-learn and SciPy, and at its ends."""

from itertools import permutations

import numpy as np
import pytest
import torch

pytest.importorskip("scipy")

from coarsecon.metrics.agreement import accuracy, agreement, contingency


@pytest.mark.parametrize("seed", range(8))
def test_scikit_learn_agrees(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, rng.integers(1, 7), 60)
    clusters = np.where(rng.random(60) < 0.6, 3 * labels, rng.integers(0, rng.integers(1, 9), 60))
    found = agreement(torch.from_numpy(clusters), torch.from_numpy(labels))
    assert found is not None
    assert found["nmi"] == pytest.approx(metrics.normalized_mutual_info_score(labels, clusters), abs=1e-12)
    assert found["ari"] == pytest.approx(metrics.adjusted_rand_score(labels, clusters), abs=1e-12)
    assert (found["images"], found["classes"]) == (60, len(set(labels.tolist())))
    assert found["clusters"] == len(set(clusters.tolist()))


@pytest.mark.parametrize(("clusters", "classes"), [(3, 3), (4, 2), (2, 4)])
def test_accuracy_is_that_of_the_best_naming(clusters: int, classes: int) -> None:
    rng = np.random.default_rng(clusters)
    counts = contingency(rng.integers(0, clusters, 50), rng.integers(0, classes, 50))
    wide = counts if clusters <= classes else counts.T
    best = max(
        sum(wide[row, column] for row, column in enumerate(columns))
        for columns in permutations(range(wide.shape[1]), wide.shape[0])
    )
    assert accuracy(counts) == pytest.approx(best / 50)


@pytest.mark.parametrize(
    ("clusters", "labels", "nmi", "ari", "accuracy"),
    [
        ([5, 5, 2, 2], [0, 0, 1, 1], 1, 1, 1),
        ([0, 0, 0, 0], [3, 3, 3, 3], 1, 1, 1),
        ([0, 1, 2, 3], [0, 1, 2, 3], 1, 1, 1),
        ([0, 0, 0, 0], [0, 0, 1, 1], 0, 0, 0.5),
        ([0, 1, 0, 1], [0, 0, 1, 1], 0, -0.5, 0.5),
        ([7], [9], 1, 1, 1),
    ],
)
def test_the_ends(clusters: list[int], labels: list[int], nmi: float, ari: float, accuracy: float) -> None:
    found = agreement(torch.tensor(clusters), torch.tensor(labels))
    assert found is not None
    assert (found["nmi"], found["ari"], found["accuracy"]) == pytest.approx((nmi, ari, accuracy), abs=1e-12)


def test_images_without_cluster_or_label_are_left_out() -> None:
    clusters, labels = torch.tensor([0, 1, -1, 0]), torch.tensor([0, 1, 0, -1])
    found = agreement(clusters, labels)
    assert found is not None
    assert (found["accuracy"], found["images"]) == (1, 2)
    assert agreement(clusters, torch.full((4,), -1)) is None
