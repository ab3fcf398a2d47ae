"""Confident learning equals a naive loop over the equations of the paper, and finds planted labels in an easy case."""

import numpy as np
from scipy.sparse import csr_array

from coarsecon.auditing.confident import Voters, check_labels
from coarsecon.auditing.noise_test import NoiseTest, relabel_margin, run_noise_tests, wrong_labels


def naive(p: np.ndarray, labels: np.ndarray) -> tuple[list[int], np.ndarray]:
    """The suggested class of each image and the confident joint, equation by equation (votes of 0 do not count)."""
    classes = p.shape[1]
    thresholds = [p[labels == c, c].mean() if (labels == c).any() else np.inf for c in range(classes)]
    joint, suggested = np.zeros((classes, classes), int), []
    for row, label in zip(p, labels, strict=True):
        confident = [c for c in range(classes) if row[c] > 0 and row[c] >= thresholds[c]]
        best = max(confident, key=lambda c: (row[c], c == label, -c), default=None) if label >= 0 else None
        suggested.append(int(label) if best is None else best)
        if best is not None:
            joint[label, best] += 1
    return suggested, joint


def test_suggestions_and_the_confident_joint_equal_those_of_a_naive_loop():
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.dirichlet(np.full(6, 0.3), 200) * (rng.random((200, 6)) < 0.6)
        p = np.round(p / np.maximum(p.sum(1, keepdims=True), 1e-9), 2)  # rounded: some probabilities are equal
        labels = rng.integers(-1, 5, 200)  # class 5 has no image
        found = check_labels(csr_array(p), labels)
        suggested, joint = naive(p, labels)
        assert found.suggested.tolist() == suggested
        assert np.array_equal(found.joint.toarray(), joint)
        own = np.where(labels >= 0, p[np.arange(200), labels], 0)
        assert np.allclose(found.self_confidence, own)
        assert np.array_equal(found.is_issue, (found.suggested != labels) & (found.confidence > own))


def test_votes_are_weighted_fractions_of_labeled_neighbors():
    voters = Voters(
        np.array([[1, 2, 3], [0, -1, -1], [3, -1, -1], [0, 1, 2]]),
        np.array([[1, 2, 1], [1, 0, 0], [1, 0, 0], [1, 1, 2.0]]),
    )
    votes = voters.votes(np.array([0, 1, 1, -1]), 2).toarray()
    assert votes.tolist() == [[0, 1], [1, 0], [0, 0], [0.25, 0.75]]


def two_groups(count: int = 60) -> tuple[Voters, np.ndarray]:
    """Images of two classes, each with 8 neighbors of its own class."""
    rng = np.random.default_rng(1)
    labels = np.arange(count) % 2
    indices = np.array(
        [
            rng.choice(np.setdiff1d(np.flatnonzero(labels == each), [i]), 8, replace=False)
            for i, each in enumerate(labels)
        ]
    )
    return Voters(indices, np.ones(indices.shape)), labels


def test_wrong_labels_among_good_neighbors_are_found_without_false_alarms():
    voters, labels = two_groups()
    noisy = labels.copy()
    noisy[[3, 10]] = 1 - noisy[[3, 10]]
    assert np.flatnonzero(check_labels(voters.votes(noisy, 2), noisy).is_issue).tolist() == [3, 10]
    reported = check_labels(voters.votes(noisy, 2), noisy).margin[[3, 10]]
    for test in run_noise_tests(voters, labels, 2, fraction=0.05, seed=0):
        assert test.changed == 3
        recall, precision = test.at(0, reported)[1::2]
        assert recall > 0.8  # a neighbor of two wrong ones may have fewer votes than the mean, its threshold
        assert precision is None or precision > 0.8


def test_precision_is_the_expected_number_of_wrong_labels_over_the_number_of_reports():
    test = NoiseTest("random", 4, 2, np.array([0.2, 0.3, 0.5, 0.6, 0.6, 0.9]))
    reported = np.array([0.1, 0.1, 0.1, 0.2, 0.4, 0.6, 0.7, 0.8])
    assert test.at(0, reported) == (0, 6 / 8, 8, 3 / 8)
    assert test.at(0.5, reported) == (0.5, 0.5, 3, 2 / 3)
    assert test.at(0.65, reported) == (0.65, 1 / 8, 2, 1 / 4)
    assert test.at(0, reported[:2]) == (0, 6 / 8, 2, None)  # 3 wrong labels would be reported
    assert relabel_margin([test], reported[-2:]) == np.inf
    assert relabel_margin([test], reported[:-1]) == 0.15
    assert relabel_margin([test], np.full(99, 0.95)) == np.inf


def test_wrong_labels_are_wrong_and_similar_ones_have_the_most_votes():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 100)
    votes = csr_array(np.tile([0.1, 0.2, 0.3, 0.4], (100, 1)))
    chosen = np.arange(0, 100, 3)
    for kind in ("random", "similar"):
        assert (wrong_labels(kind, votes, labels, chosen, rng) != labels[chosen]).all()
    assert set(wrong_labels("similar", votes, labels, chosen, rng)) == {2, 3}
