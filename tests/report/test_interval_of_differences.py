"""Intervals of differences: closed forms, and about one false alarm in twenty where there is no difference."""

import math

import numpy as np
import pytest
from scipy import stats

from coarsecon.metrics.interval import (
    mean_and_interval,
    mean_difference,
    paired_difference,
    share_difference,
    wilson,
)

scipy = pytest.importorskip("scipy")


def alarms(intervals) -> float:
    return float(np.mean([not low <= 0 <= high for low, high in intervals]))


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (7, 10), (10, 10), (563, 1000)])
def test_wilson_is_scipys(hits, count):
    expected = stats.binomtest(hits, count).proportion_ci(method="wilson")
    assert wilson(hits / count, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_newcombe_gives_the_published_example():
    # Newcombe (1998), table II: 56/70 against 48/80, method 10: 0.0524 to 0.3339.
    assert share_difference(48 / 80, 80, 56 / 70, 70) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    low, high = share_difference(56 / 70, 70, 48 / 80, 80)
    assert (low, high) == pytest.approx((-0.3339, -0.0524), abs=5e-5)


def test_welch_is_scipys_up_to_the_rounding_of_freedom():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, 9), rng.normal(1, 3, 30)
    found = mean_difference(*mean_and_interval(list(first)), 9, *mean_and_interval(list(second)), 30)
    test = stats.ttest_ind(second, first, equal_var=False)
    freedom = math.floor(test.df)
    error = (second.mean() - first.mean()) / test.statistic
    margin = stats.t.ppf(0.975, freedom) * error
    assert found == pytest.approx((second.mean() - first.mean() - margin, second.mean() - first.mean() + margin))
    assert mean_difference(0.5, 0.0, 5, 0.7, 0.0, 5) == pytest.approx((0.2, 0.2))


def test_the_bootstrap_is_the_normal_interval_where_queries_are_many():
    rng = np.random.default_rng(0)
    values = rng.uniform(-1, 1, 5000) * 0.4 + 0.05
    error = 1.96 * values.std() / math.sqrt(5000)
    found = paired_difference(values)
    assert found == pytest.approx((values.mean() - error, values.mean() + error), abs=0.05 * error)
    assert found == paired_difference(values)  # the same draws each time


def test_the_bootstrap_of_larger_differences_is_that_of_scaled_ones():
    values = np.random.default_rng(0).integers(-1, 2, 200)
    assert paired_difference(3 * values) == pytest.approx(3 * np.array(paired_difference(values)))


def test_a_few_queries_that_differ_alike_are_no_proof():
    values = np.zeros(1000)
    values[:4] = 1
    low, high = paired_difference(values)
    assert low <= 0 < high
    values[:12] = 1
    assert paired_difference(values)[0] > 0


@pytest.mark.parametrize(("count", "changed"), [(48, 0.1), (1000, 0.01), (1000, 0.3)])
def test_paired_false_alarms_are_rare(count, changed):
    rng = np.random.default_rng(count)
    draws = rng.choice([-1, 0, 1], (300, count), p=[changed / 2, 1 - changed, changed / 2])
    assert alarms(map(paired_difference, draws)) <= 0.08


@pytest.mark.parametrize(("count", "share"), [(50, 0.5), (1000, 0.9), (200, 0.98)])
def test_newcombe_false_alarms_are_rare(count, share):
    first, second = np.random.default_rng(count).binomial(count, share, (2, 2000)) / count
    found = alarms(share_difference(a, count, b, count) for a, b in zip(first, second, strict=True))
    assert 0.02 <= found <= 0.065


@pytest.mark.parametrize(("first", "second"), [(5, 5), (3, 10), (20, 20)])
def test_welch_false_alarms_are_one_in_twenty(first, second):
    rng = np.random.default_rng(first)
    pairs = [(list(rng.normal(0, 1, first)), list(rng.normal(0, 2, second))) for _ in range(800)]
    found = alarms(mean_difference(*mean_and_interval(a), first, *mean_and_interval(b), second) for a, b in pairs)
    assert 0.025 <= found <= 0.07
