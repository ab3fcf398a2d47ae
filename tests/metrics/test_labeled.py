"""Classification by labeled features: heads equal naive loops, probabilities are calibrated, new classes are found."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from coarsecon.data.prepare.split import assign_folds
from coarsecon.metrics.calibration import auroc, calibration_error, choose_threshold, fit_temperature, probabilities
from coarsecon.metrics.heads import HEADS, cross_validated, mean_scores, neighbor_scores, ridge_scores, similar_groups
from coarsecon.metrics.labeled import LabeledFeatures
from coarsecon.search.exact import l2_normalize


def drawn(seed: int, classes: int, each: int, spread: float = 0.5, dim: int = 16) -> tuple[Tensor, Tensor]:
    """Normalized features of Gaussian classes, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    means = l2_normalize(torch.randn(classes, dim, generator=generator))
    labels = torch.arange(classes).repeat_interleave(each)
    noise = torch.randn(classes * each, dim, generator=generator) * spread / math.sqrt(dim)
    return l2_normalize(means[labels] + noise), labels


def labeled(features: Tensor, labels: Tensor, coarse: Tensor | None = None) -> LabeledFeatures:
    coarse = torch.full_like(labels, -1) if coarse is None else coarse
    classes, parents = int(labels.max()) + 1, max(1, int(coarse.max()) + 1)
    allowed = torch.zeros(parents, classes, dtype=torch.bool)
    allowed[coarse.clamp(min=0), labels] = True
    folds = torch.from_numpy(assign_folds(labels.numpy(), 10, groups=[similar_groups(features, labels, 10).tolist()]))
    return LabeledFeatures(features, labels, coarse, folds, allowed)


def test_mean_scores_are_cosines_with_class_means() -> None:
    features, labels = drawn(0, 4, 5)
    scores = mean_scores(features[5:], labels[5:], features[:5], 4)
    assert scores[:, 0].isneginf().all()
    for label in range(1, 4):
        mean = features[labels == label].mean(0)
        assert torch.allclose(scores[:, label], features[:5] @ (mean / mean.norm()), atol=1e-6)


def test_neighbor_scores_are_means_of_the_largest_cosines() -> None:
    features, labels = drawn(0, 3, 4)
    scores = neighbor_scores(features, labels, features[:3], 3, count=2)
    for query in range(3):
        for label in range(3):
            cosines = sorted((features[labels == label] @ features[query]).tolist())[-2:]
            assert float(scores[query, label]) == pytest.approx(sum(cosines) / 2, abs=1e-6)


@pytest.mark.parametrize("each", [3, 20])
def test_ridge_scores_equal_those_of_scikit_learn(each: int) -> None:
    sklearn = pytest.importorskip("sklearn.linear_model")
    features, labels = drawn(0, 3, each)
    scores = ridge_scores(features, labels, features[:5], 3, penalty=0.3)
    x = (features - features.mean(0)).double()
    penalty = 0.3 * float(x.square().sum(1).mean())
    model = sklearn.Ridge(alpha=penalty).fit(features.double().numpy(), np.eye(3)[labels.numpy()])
    assert np.allclose(scores.numpy(), model.predict(features[:5].double().numpy()), atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_cross_validation_classifies_each_image_by_those_of_other_folds(name: str) -> None:
    features, labels = drawn(0, 3, 4)
    folds = torch.arange(12) % 4
    scores = cross_validated(HEADS[name], features, labels, folds, 3)
    for i in range(12):
        others = folds != folds[i]
        assert torch.allclose(
            scores[i], HEADS[name](features[others], labels[others], features[i : i + 1], 3)[0], atol=1e-5
        )


def test_similar_images_of_a_class_are_in_one_group() -> None:
    scenes, labels = drawn(0, 3, 6, spread=1.0)
    noise = torch.randn(72, 16, generator=torch.Generator().manual_seed(1)) * 0.01
    photos, classes = l2_normalize(scenes.repeat_interleave(4, 0) + noise), labels.repeat_interleave(4)
    groups = similar_groups(photos, classes, 6)
    assert groups.unique(return_inverse=True)[1].bincount().tolist() == [4] * 18
    assert (groups.view(18, 4) == groups[::4, None]).all()
    assert len(similar_groups(scenes, labels, 10).unique()) == 18


def test_near_duplicates_do_not_hide_the_error_on_new_scenes() -> None:
    scenes, labels = drawn(2, 10, 30, spread=2.0)
    known = torch.arange(30).repeat(10) < 10
    noise = torch.randn(400, 16, generator=torch.Generator().manual_seed(1)) * 0.01
    photos = l2_normalize(scenes[known].repeat_interleave(4, 0) + noise)
    data = labeled(photos, labels[known].repeat_interleave(4))
    calibrated = data.calibrate(constrained=False)
    error = float((data.predict(calibrated, scenes[~known]).classes != labels[~known]).double().mean())
    assert error > 0.1
    assert calibrated.estimate.error == pytest.approx(error, abs=0.15)
    alone = LabeledFeatures(data.features, data.labels, data.coarse, torch.arange(400) % 4, data.allowed)
    assert alone.calibrate(constrained=False).estimate.error < error / 4


def test_the_temperature_of_sampled_labels_is_found() -> None:
    scores = torch.randn(20_000, 5, generator=torch.Generator().manual_seed(0))
    for temperature in (0.05, 0.5, 2.0):
        labels = torch.multinomial(probabilities(scores, temperature), 1, generator=torch.Generator().manual_seed(1))[
            :, 0
        ]
        assert fit_temperature(scores, labels)[0] == pytest.approx(temperature, rel=0.1)


def test_calibration_error_of_a_small_case() -> None:
    probability = torch.tensor([0.9, 0.9, 0.6, 0.6])
    correct = torch.tensor([True, False, True, True])
    assert calibration_error(probability, correct, bins=10) == pytest.approx((2 * 0.4 + 2 * 0.4) / 4, abs=1e-6)


def test_auroc_counts_pairs() -> None:
    known, new = torch.tensor([0.9, 0.5, 0.2]), torch.tensor([0.5, 0.1])
    assert auroc(known, new) == pytest.approx((2 + 1.5 + 1) / 6)


def test_the_threshold_keeps_known_and_finds_new_images() -> None:
    known, new = torch.tensor([0.4, 0.7, 0.8, 0.9]), torch.tensor([0.1, 0.3, 0.6])
    found = choose_threshold(known, new)
    assert (found.value, found.known_rejected, found.new_found) == pytest.approx((0.7, 0.25, 1.0))
    found = choose_threshold(known, new, known_rejected=0.0)
    assert (found.value, found.known_rejected, found.new_found) == pytest.approx((0.4, 0.0, 2 / 3))
    assert math.isnan(choose_threshold(known, new[:0]).new_found)


@pytest.mark.parametrize("spread", [0.5, 1.0, 1.5])
def test_probabilities_are_calibrated_and_the_expected_error_is_that_of_new_images(spread: float) -> None:
    features, labels = drawn(0, 20, 220, spread)
    known = torch.arange(220).repeat(20) < 20
    data = labeled(features[known], labels[known])
    calibrated = data.calibrate(constrained=False)
    found = data.predict(calibrated, features[~known])
    correct = found.classes == labels[~known]
    error = float((~correct).double().mean())
    assert (
        error - 0.03 <= calibrated.estimate.error <= error + 0.1
    )  # independent images are easier than left-out groups
    assert calibration_error(found.probability, correct) < 0.05
    assert calibrated.estimate.calibration_error < 0.08


def test_images_of_new_classes_are_found_as_often_as_expected() -> None:
    features, labels = drawn(3, 40, 60, spread=0.9, dim=24)
    known = labels < 30
    support = known & (torch.arange(60).repeat(40) < 20)
    data = labeled(features[support], labels[support])
    calibrated = data.calibrate(constrained=False)
    threshold = calibrated.estimate.threshold
    assert threshold.auroc > 0.9
    old, new = (data.predict(calibrated, features[rows]) for rows in (known & ~support, ~known))
    assert float((~new.is_known).double().mean()) == pytest.approx(threshold.new_found, abs=0.1)
    assert float((~old.is_known).double().mean()) == pytest.approx(threshold.known_rejected, abs=0.1)


def test_a_coarse_class_limits_the_classes_of_an_image() -> None:
    features, labels = drawn(1, 6, 10, spread=2.0)
    coarse = labels // 3
    data = labeled(features, labels, coarse)
    queries, wanted = features[::7], coarse[::7]
    found = data.predict(data.calibrate(constrained=True), queries, wanted)
    assert (found.classes // 3 == wanted).all()
    assert torch.allclose(found.probabilities.sum(1), torch.ones(len(queries)))
    free, limited = (data.calibrate(constrained=each).estimate.error for each in (False, True))
    assert limited < free


def test_a_class_of_one_image_and_a_single_class_are_possible() -> None:
    features, labels = drawn(0, 3, 5)
    data = labeled(features[:11], labels[:11])
    calibrated = data.calibrate(constrained=False)
    assert calibrated.estimate.images == 10
    assert int(data.predict(calibrated, features[10:11]).classes) == 2
    single = labeled(features[:5], labels[:5])
    calibrated = single.calibrate(constrained=False)
    assert math.isnan(calibrated.estimate.threshold.new_found)
    assert single.predict(calibrated, features[:1]).is_known.all()
    lone = labeled(features[:1], labels[:1])
    assert lone.predict(lone.calibrate(constrained=False), features[:1]).classes.tolist() == [0]


def test_a_new_class_counts_as_soon_as_it_has_images() -> None:
    features, labels = drawn(0, 5, 8)
    few = labels < 4
    before = labeled(features[few], labels[few])
    found = before.predict(before.calibrate(constrained=False), features[~few])
    assert not found.is_known.any()
    after = labeled(features, labels)
    assert (after.predict(after.calibrate(constrained=False), features[~few]).classes == 4).all()
