"""The mean over folds and its interval, against closed forms."""

import math

import pytest

from coarsecon.metrics.folds import fold_mean, over_folds


def test_folds_that_differ_have_students_interval() -> None:
    mean, half = fold_mean([0.2, 0.4, 0.6, 0.8], 1_000_000)
    assert mean == pytest.approx(0.5)
    assert half == pytest.approx(3.182446 * math.sqrt(0.2 / 3) / 2, rel=1e-6)


def test_folds_that_agree_have_the_interval_of_a_proportion() -> None:
    mean, half = fold_mean([1.0] * 5, 20)
    assert mean == 1
    assert half == pytest.approx(1.959964**2 / (20 + 1.959964**2), rel=1e-6)  # Wilson's for 20 of 20


def test_a_result_over_folds_has_means_counts_and_common_settings() -> None:
    folds = [
        {"top1": top1, "top5": 1.0, "queries": 10, "classes": 3, "lr": lr, "epochs": 20}
        for top1, lr in ((0.5, 1.0), (0.7, 5.0))
    ]
    found = over_folds(folds, ("top1", "top5"), ("lr", "epochs", "views"), 4)
    assert list(found) == ["top1", "ci95", "top5", "top5_ci95", "epochs", "folds", "queries", "classes", "by_fold"]
    assert (found["top1"], found["top5"], found["epochs"]) == (0.6, 1.0, 20)
    assert (found["folds"], found["queries"], found["classes"]) == (2, 20, 4)
    assert found["by_fold"] == folds
