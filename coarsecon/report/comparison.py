"""Compare the scores of runs: every run against the first, with 95% intervals of the differences.

An interval is computed in the first of these ways that is possible; `Difference.by` names it:

- paired: both runs were evaluated on the same queries, and how each query fared is known; bootstrap over the queries.
- same draws: both scores are means over the same episodes or draws of labels, which are stored; Student's t-interval of
  their differences.
- draws: both scores are means over episodes or draws; Welch's t-interval of two means, wider than necessary where the
  draws were the same.
- queries: both are fractions of queries; Newcombe's interval of independent proportions, wider than necessary for the
  same queries.

The mean of anything else, such as mAP@R, has no interval unless it is paired. The intervals are about other queries or
draws of the same kind, not about other training seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coarsecon.metrics.interval import mean_and_interval, mean_difference, paired_difference, share_difference
from coarsecon.metrics.metric import Metric
from coarsecon.run.results import FROZEN, StoredResult
from coarsecon.runtime.documents import is_number

Outcomes = Mapping[tuple[str, str], ArrayLike]
"""Outcome of each query [Q], between 0 and 1, by (group, metric), whose mean is the metric. NaN: it does not count."""

SAME = 2e-3
"""Largest difference of the mean of recomputed outcomes from the stored score, for rounding that swaps ranks."""


@dataclass(frozen=True)
class Difference:
    """A score of one run less that of the first, and the 95% interval of that where one can be had."""

    value: float
    interval: tuple[float, float] | None
    by: Literal["paired", "same draws", "draws", "queries", "other data", "none"]
    """The way the interval was computed: see `coarsecon.report.comparison`."""

    @property
    def exceeds(self) -> bool | None:
        """True if the interval excludes 0; None without interval."""
        return None if self.interval is None else not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True)
class Comparison:
    """One score in every run, None where it is missing, with its differences to the first run's (the first is None)."""

    result: str
    level: str
    score: str
    values: list[float | None]
    differences: list[Difference | None]
    is_fraction: bool = True
    lower_is_better: bool = False


Ask = Callable[[StoredResult], Outcomes | None]
"""Returns the outcomes of the queries of a run's result; None if they are not available."""


def compare(runs: Sequence[Sequence[StoredResult]], ask: Sequence[Ask] = ()) -> list[Comparison]:
    """The scores that two runs or more have, each against the first run's, in the order of the first to have them.

    `ask[i]` gives the outcomes of run i's results. Results are the same when their files are called the same. Stale
    ones are left out.
    """
    by_name = [{result.name: result for result in run if result.freshness.is_usable} for run in runs]
    names = dict.fromkeys(name for run in by_name for name in run)
    return [row for name in names for row in _compare_result(name, [run.get(name) for run in by_name], ask)]


def against_frozen(results: Sequence[StoredResult]) -> list[Comparison]:
    """Return the scores of one run's results that store those of the frozen encoder, against the latter."""
    return [
        Comparison(result.name, *key, [before, before + change.value], [None, change])
        for result in results if result.freshness.is_usable
        for key, (before, change) in _frozen_scores(result.record.get(FROZEN)).items() if key in result.metrics
    ]  # fmt: skip


def _frozen_scores(part: Any) -> dict[tuple[str, str], tuple[float, Difference]]:
    """Return the frozen scores and the differences to them by (group, metric); what is damaged is left out."""
    found = {}
    for group, metrics in part.items() if isinstance(part, dict) else ():
        for name, entry in metrics.items() if isinstance(metrics, dict) else ():
            match entry:
                case {"value": value, "difference": change} if is_number(value) and is_number(change):
                    found[group, name] = value, Difference(change, _interval(entry.get("interval")), "paired")
    return found


def _interval(ends: Any) -> tuple[float, float] | None:
    return (ends[0], ends[1]) if isinstance(ends, list) and len(ends) == 2 and all(map(is_number, ends)) else None


def difference(first: Metric, second: Metric) -> Difference:
    """Return the difference of two metrics with the interval that follows from what is known of each."""
    value = second.value - first.value
    one, other = first.count or 0, second.count or 0
    if first.interval is not None and second.interval is not None:
        if min(one, other) >= 2:
            interval = mean_difference(first.value, first.interval, one, second.value, second.interval, other)
            return Difference(value, interval, "draws")
    elif first.kind == second.kind == "share" and one and other and min(first.value, second.value) >= 0:
        return Difference(value, share_difference(first.value, one, second.value, other), "queries")
    return Difference(value, None, "none")


def _draws(result: StoredResult | None, metric: Metric) -> list[float]:
    return result.draws(metric) if result else []


def _compare_result(name: str, results: list[StoredResult | None], ask: Sequence[Ask]) -> list[Comparison]:
    """The scores of one kind of result, of which some runs may have none."""
    found = [_compared_metrics(result) for result in results]
    shared = [key for key in dict.fromkeys(key for run in found for key in run) if sum(key in run for run in found) > 1]
    alike = [result is not None and _same_data(result, results[0]) for result in results]
    outcomes: list[Outcomes] = [{}] * len(results)
    if ask and shared and sum(alike) > 1:
        outcomes = [(ask[run](result) or {}) if result and alike[run] else {} for run, result in enumerate(results)]

    def against_first(key: tuple[str, str], run: int) -> Difference | None:
        if key not in found[0] or key not in found[run]:
            return None
        first, other = found[0][key], found[run][key]
        if not alike[run]:
            return Difference(other.value - first.value, None, "other data")
        before, after = (_fitting(outcomes[of].get(key), found[of][key]) for of in (0, run))
        if before is not None and after is not None and len(before) == len(after):
            pairs = (after - before)[~np.isnan(after - before)]
            return Difference(float(pairs.mean()), paired_difference(pairs), "paired")
        before, after = (_fitting(_draws(results[of], found[of][key]), found[of][key]) for of in (0, run))
        if before is not None and after is not None and len(before) == len(after) > 1:
            mean, half = mean_and_interval((after - before).tolist())
            return Difference(mean, (mean - half, mean + half), "same draws")
        return difference(first, other)

    metrics = {key: metric for run in found for key, metric in run.items()}
    return [
        Comparison(
            name, *key,
            values=[run[key].value if key in run else None for run in found],
            differences=[None, *(against_first(key, run) for run in range(1, len(results)))],
            is_fraction=metrics[key].is_fraction,
            lower_is_better=metrics[key].lower_is_better,
        )
        for key in shared
    ]  # fmt: skip


def _fitting(outcomes: ArrayLike | None, score: Metric) -> NDArray[np.float64] | None:
    """Return the outcomes if their mean is the score: a result may be older than the features."""
    values = np.asarray([] if outcomes is None else outcomes, np.float64)
    counting = values[~np.isnan(values)]
    return values if len(counting) and abs(counting.mean() - score.value) < SAME else None


def _compared_metrics(result: StoredResult | None) -> dict[tuple[str, str], Metric]:
    """Return the metrics of a result that are compared, by (group, name)."""
    return {key: metric for key, metric in (result.metrics if result else {}).items() if metric.kind != "chance"}


def _same_data(one: StoredResult, other: StoredResult | None) -> bool:
    """Return whether two results were computed on the same images, by fingerprints of the splits if both have them."""
    if other is None:
        return False
    if one.fingerprints and other.fingerprints:
        return one.fingerprints == other.fingerprints
    return all(one.context.get(name) == other.context.get(name) for name in ("split", "data"))
