"""Comparing runs: the same results are found, and each difference has the interval its numbers allow."""

import numpy as np
import pytest

from coarsecon.metrics.interval import mean_and_interval, mean_difference, paired_difference, share_difference
from coarsecon.metrics.metric import Metric
from coarsecon.report.comparison import against_frozen, compare
from coarsecon.report.results_table import comparison_table
from coarsecon.run.results import StoredResult

ON = {"split": "test", "data": "d"}


def retrieve(fine: float, **more) -> StoredResult:
    return StoredResult("retrieve", {**ON, "fine": {"recall@1": fine, "queries": 100, "classes": 5}, **more})


def test_shares_of_queries_are_compared_by_their_counts():
    (row,) = compare([[retrieve(0.5)], [retrieve(0.7)]])
    assert (row.result, row.level, row.score, row.values) == ("retrieve", "fine", "recall@1", [0.5, 0.7])
    first, second = row.differences
    assert first is None
    assert (second.by, second.interval) == ("queries", share_difference(0.5, 100, 0.7, 100))
    assert second.exceeds
    assert not compare([[retrieve(0.5)], [retrieve(0.52)]])[0].differences[1].exceeds


def test_means_over_episodes_are_compared_by_their_intervals():
    def fewshot(mean: float) -> StoredResult:
        return StoredResult("fewshot", {**ON, "accuracy": mean, "ci95": 0.02, "episodes": 200, "queries": 15})

    (row,) = compare([[fewshot(0.5)], [fewshot(0.51)]])
    assert row.level == ""
    assert row.differences[1].by == "draws"
    assert row.differences[1].interval == mean_difference(0.5, 0.02, 200, 0.51, 0.02, 200)
    assert not row.differences[1].exceeds


EPISODES = np.random.default_rng(0).random((2, 200)).round(3)


def fewshot(by_episode) -> StoredResult:
    mean, half = mean_and_interval(by_episode)
    return StoredResult("fewshot", {**ON, "accuracy": mean, "ci95": half, "episodes": 200, "by_episode": [*by_episode]})


def few_labels(by_draw) -> StoredResult:
    mean, half = mean_and_interval(by_draw)
    fine = {"top1": mean, "ci95": half, "repeats": len(by_draw), "draws": [{"top1": draw} for draw in by_draw]}
    return StoredResult("linear", {**ON, "fine": fine})


@pytest.mark.parametrize("result", [fewshot, few_labels])
def test_the_same_episodes_or_draws_are_compared_one_by_one(result):
    stats = pytest.importorskip("scipy.stats")
    first, second = EPISODES[0], EPISODES[0] + 0.01 * EPISODES[1]
    (row,) = compare([[result(first)], [result(second)]])
    found = row.differences[1]
    test = stats.ttest_rel(second, first)
    assert found.by == "same draws"
    assert found.interval == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.exceeds
    without = [
        StoredResult(each.name, {k: v for k, v in each.record.items() if k != "by_episode"})
        for each in map(fewshot, (first, second))
    ]
    assert not compare([[without[0]], [without[1]]])[0].differences[1].exceeds


def test_values_by_episode_that_are_not_behind_the_mean_or_are_no_numbers_are_left_aside():
    good = fewshot(EPISODES[0])
    for by_episode in ([*EPISODES[1]], [*EPISODES[0][1:]], [*EPISODES[0][1:], "x"], [*EPISODES[0][1:], None], "x", []):
        other = StoredResult("fewshot", {**good.record, "by_episode": by_episode})
        assert compare([[good], [other]])[0].differences[1].by == "draws"


def test_outcomes_of_the_same_queries_go_first_and_those_that_do_not_count_stand_out():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 100)) < 0.5
    a, b = a.astype(float), b.astype(float)
    a[3] = b[3] = np.nan
    asks = [lambda result: {("fine", "recall@1"): a}, lambda result: {("fine", "recall@1"): b}]
    known = np.arange(100) != 3
    runs = [[retrieve(a[known].mean())], [retrieve(b[known].mean())]]
    (row,) = compare(runs, asks)
    assert row.differences[1].by == "paired"
    assert row.differences[1].interval == paired_difference((b - a)[known])
    assert row.differences[1].value == pytest.approx((b - a)[known].mean())


def test_other_data_and_outcomes_of_other_queries_are_not_paired():
    other = StoredResult("retrieve", {**retrieve(0.7).record, "data": "elsewhere"})
    (row,) = compare([[retrieve(0.5)], [other]], [lambda result: {("fine", "recall@1"): np.ones(5)}] * 2)
    assert (row.differences[1].by, row.differences[1].interval, row.differences[1].exceeds) == (
        "other data",
        None,
        None,
    )
    asks = [lambda result: {("fine", "recall@1"): np.ones(5)}, lambda result: {("fine", "recall@1"): np.ones(6)}]
    assert compare([[retrieve(1.0)], [retrieve(1.0)]], asks)[0].differences[1].by == "queries"


@pytest.mark.parametrize(
    "part",
    [
        {"map@r": 0.5, "queries": 100},
        {"precision@5": 0.5, "queries": 100},
        {"nmi": 0.5, "accuracy": 0.5, "images": 100, "clusters": 4},
    ],
)
def test_means_that_are_no_shares_of_independent_queries_have_no_interval_of_shares(part):
    better = {name: 0.9 if value == 0.5 else value for name, value in part.items()}
    rows = compare([[StoredResult("x", {**ON, "fine": part})], [StoredResult("x", {**ON, "fine": better})]])
    assert rows
    assert {(row.differences[1].by, row.differences[1].interval) for row in rows} == {("none", None)}


def test_outcomes_that_are_not_behind_the_saved_score_are_left_aside():
    def ask(result):
        return {("fine", "recall@1"): np.arange(100) % 2}

    assert compare([[retrieve(0.5)], [retrieve(0.5)]], [ask, ask])[0].differences[1].by == "paired"
    assert compare([[retrieve(0.5)], [retrieve(0.7)]], [ask, ask])[0].differences[1].by == "queries"


def test_what_only_one_run_has_is_no_comparison_and_gaps_stay_gaps():
    assert compare([[retrieve(0.5)], []]) == []
    (row,) = compare([[], [retrieve(0.5)], [retrieve(0.6)]])
    assert row.values == [None, 0.5, 0.6]
    assert row.differences == [None, None, None]
    strange = StoredResult("cluster", {**ON, "nmi": 0.4, "clusters": 7, "note": "x", "fine": {"held_out_top1": 0.3}})
    rows = compare([[strange], [strange]])
    assert [(row.level, row.score, row.differences[1].by) for row in rows] == [
        ("", "nmi", "none"),
        ("fine", "held_out_top1", "none"),
    ]


def test_results_that_are_broken_or_nonsense_compare_as_nothing():
    broken = [StoredResult("retrieve", problem="cannot be read")]
    nonsense = [
        StoredResult("retrieve", {"fine": {"recall@1": "high", "queries": -3, "recall@2": True}, "coarse": [1]})
    ]
    assert compare([broken, nonsense, [retrieve(0.5)]]) == []


def test_a_fall_of_an_error_is_marked_as_an_improvement_and_values_are_not_percent():
    def result(mean: float) -> StoredResult:
        error = Metric("error", mean / 10, kind="share", count=1000, lower_is_better=True)
        distance = Metric("distance", mean, kind="value", interval=0.01, count=100, lower_is_better=True)
        return StoredResult("mine", {**ON, "metrics": [error.to_json(), distance.to_json()]})

    for before, after, mark in ((3.0, 1.5, "▲"), (1.5, 3.0, "▼")):
        rows = compare([[result(before)], [result(after)]])
        assert [row.lower_is_better for row in rows] == [True, True]
        page = comparison_table(rows, ["first", "second"])
        assert page.count(mark) == 2
        assert ">1.5" in page
        assert "150" not in page


def test_a_result_that_stores_the_frozen_encoder_is_compared_with_it():
    stored = {"fine": {"recall@1": {"value": 0.4, "difference": 0.2, "interval": [0.1, 0.3]}}}
    (row,) = against_frozen([retrieve(0.6, frozen=stored), retrieve(0.7)])
    assert (row.result, row.level, row.score) == ("retrieve", "fine", "recall@1")
    assert row.values == [0.4, pytest.approx(0.6)]
    assert row.differences[1].interval == (0.1, 0.3)
    assert row.differences[1].exceeds
    assert "same queries" in comparison_table([row], ["frozen", "run"])


@pytest.mark.parametrize(
    "damaged", [3, {"fine": 1}, {"fine": {"recall@1": 2}}, {"fine": {"recall@1": {"value": "x", "difference": 0.1}}}]
)
def test_damaged_frozen_scores_are_left_out(damaged):
    assert against_frozen([retrieve(0.6, frozen=damaged)]) == []
