"""Agreement of clusters with labels against the textbook formulas, and at its ends."""

from itertools import permutations

import numpy as np
import pytest
import torch

from coarsecon.metrics.agreement import agreement


def table(clusters: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.array([[np.sum((clusters == k) & (labels == c)) for c in np.unique(labels)] for k in np.unique(clusters)])


def entropy(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def pairs(counts: np.ndarray) -> float:
    return float((counts * (counts - 1)).sum() / 2)


@pytest.mark.parametrize("seed", range(8))
def test_nmi_and_ari_are_those_of_their_formulas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, rng.integers(2, 7), 60)
    clusters = np.where(rng.random(60) < 0.6, 3 * labels, rng.integers(0, rng.integers(2, 9), 60))
    counts = table(clusters, labels)
    found = agreement(torch.from_numpy(clusters), torch.from_numpy(labels))
    assert found is not None
    rows, columns = counts.sum(1), counts.sum(0)
    mutual = entropy(rows) + entropy(columns) - entropy(counts)
    assert found["nmi"] == pytest.approx(2 * mutual / (entropy(rows) + entropy(columns)), abs=1e-12)
    expected, largest = pairs(rows) * pairs(columns) / pairs(counts.sum()), (pairs(rows) + pairs(columns)) / 2
    assert found["ari"] == pytest.approx((pairs(counts) - expected) / (largest - expected), abs=1e-12)
    assert (found["images"], found["classes"]) == (60, len(set(labels.tolist())))
    assert found["clusters"] == len(set(clusters.tolist()))


@pytest.mark.parametrize(("clusters", "classes"), [(3, 3), (4, 2), (2, 4)])
def test_accuracy_is_that_of_the_best_assignment(clusters: int, classes: int) -> None:
    rng = np.random.default_rng(clusters)
    found, truth = rng.integers(0, clusters, 50), rng.integers(0, classes, 50)
    counts = table(found, truth)
    wide = counts if clusters <= classes else counts.T
    best = max(
        sum(wide[row, column] for row, column in enumerate(columns))
        for columns in permutations(range(wide.shape[1]), wide.shape[0])
    )
    scores = agreement(torch.from_numpy(found), torch.from_numpy(truth))
    assert scores is not None
    assert scores["accuracy"] == pytest.approx(best / 50)


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
