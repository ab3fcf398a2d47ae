"""95% intervals of means, of proportions, and of differences of two."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from torch import Tensor

Z95 = 1.959963984540054
BOOTSTRAP_DRAWS = 4000
BOOTSTRAP_BINS = 1000
"""Resolution of the bootstrap: bins of a difference between 0 and 1."""

Interval = tuple[float, float]


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of at least two values and half the width of its 95% Student-t interval."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), t_quantile_95(len(values) - 1) * error


def t_quantile_95(freedom: int) -> float:
    """Return the two-sided 95% quantile of Student's t with `freedom` degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def wilson(fraction: float, count: int) -> Interval:
    """Return the interval of a proportion of `count` independent cases (Wilson, 1927).

    It is conservative for a mean of values between 0 and 1, whose variance is at most that of a proportion.
    """
    z = Z95**2 / count
    middle = (fraction + z / 2) / (1 + z)
    half = math.sqrt(z * fraction * (1 - fraction) + z * z / 4) / (1 + z)
    return max(0.0, middle - half), min(1.0, middle + half)


def share_difference(first: float, first_count: int, second: float, second_count: int) -> Interval:
    """Return the interval of `second - first`, two proportions of independent cases (Newcombe, 1998, method 10).

    It is conservative for two proportions of the same cases that are positively correlated.
    """
    (low1, high1), (low2, high2) = wilson(first, first_count), wilson(second, second_count)
    difference = second - first
    below = math.hypot(second - low2, high1 - first)
    above = math.hypot(high2 - second, first - low1)
    return difference - below, difference + above


def mean_difference(
    first: float, first_half: float, first_count: int, second: float, second_half: float, second_count: int
) -> Interval:
    """Return the interval of `second - first`, two means with half of their Student-t intervals (Welch, 1947).

    The counts are the numbers of values of each mean, at least two. Degrees of freedom are rounded down.
    """
    freedoms = first_count - 1, second_count - 1
    errors = [half / t_quantile_95(free) for half, free in zip((first_half, second_half), freedoms, strict=True)]
    variance = sum(error**2 for error in errors)
    if variance == 0:
        return second - first, second - first
    freedom = variance**2 / sum(error**4 / free for error, free in zip(errors, freedoms, strict=True))
    margin = t_quantile_95(max(1, math.floor(freedom))) * math.sqrt(variance)
    return second - first - margin, second - first + margin


def paired_difference(differences: ArrayLike) -> Interval:
    """Return the interval of the mean of `differences` [Q] of the same queries in two runs.

    Percentile bootstrap over the queries (Efron, 1979) with two pseudo-queries, half of one at each end and one in the
    middle (Agresti & Min, 2005): without them a few queries that all differ in the same direction would have an
    interval of width 0. The ends are -1 and 1, or the largest difference where that is larger.
    """
    values = np.asarray(differences, np.float64)
    scale = max(1.0, float(abs(values).max(initial=0)))
    if scale > 1:
        low, high = paired_difference(values / scale)
        return low * scale, high * scale
    # Queries with equal differences are drawn together: one multinomial draw of how often each difference occurs.
    steps, counts = np.unique((values * BOOTSTRAP_BINS).round(), return_counts=True)
    steps = np.concatenate([steps, [-BOOTSTRAP_BINS, 0, BOOTSTRAP_BINS]])
    counts = np.concatenate([counts, [0.5, 1, 0.5]])
    total = len(values) + 2
    drawn = np.random.default_rng(0).multinomial(total, counts / total, BOOTSTRAP_DRAWS)
    low, high = np.quantile(drawn @ steps, [0.025, 0.975]) / BOOTSTRAP_BINS / total
    rounding = values.mean() - (values * BOOTSTRAP_BINS).round().mean() / BOOTSTRAP_BINS
    return float(low + rounding), float(high + rounding)


@dataclass(frozen=True)
class PairedMeans:
    """Means of the same `count` queries in two runs, and the 95% interval of their difference."""

    before: float
    after: float
    difference: float
    interval: Interval
    count: int


def paired_means(before: "Tensor", after: "Tensor") -> PairedMeans | None:
    """Compare values [Q] of queries in two runs; NaN marks a query that does not count. None if no query counts."""
    counted = ~(before.isnan() | after.isnan())
    if not counted.any():
        return None
    first, second = before[counted].double(), after[counted].double()
    changes = second - first
    interval = paired_difference(changes.numpy())
    return PairedMeans(float(first.mean()), float(second.mean()), float(changes.mean()), interval, len(changes))
