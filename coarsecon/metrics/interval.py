"""How sure a mean is, and a difference of two: 95% intervals."""

import math
import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

Z95 = 1.959963984540054
BOOTSTRAP_DRAWS = 4000
BINS = 1000
"""Of the bootstrap: how finely the differences of queries, -1 to 1, are told apart on each side of 0."""

Interval = tuple[float, float]


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean of at least two values and half the width of its 95% Student-t interval."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), t_quantile_95(len(values) - 1) * error


def t_quantile_95(freedom: int) -> float:
    """The t that a Student-t variable with `freedom` degrees exceeds, in size, in 5% of cases.

    By bisection on the finite series of Abramowitz & Stegun, 26.7.3 and 26.7.4, in the angle atan(t / sqrt(freedom)).
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        low, high = (angle, high) if _share_within(angle, freedom) < 0.95 else (low, angle)
    return math.sqrt(freedom) * math.tan(low)


def wilson(share: float, count: int) -> Interval:
    """The interval of a share found in `count` independent cases (Wilson, 1927).

    Of a mean of values between 0 and 1 it is a cautious one: no such values vary more than 0 and 1 do.
    """
    z = Z95**2 / count
    middle = (share + z / 2) / (1 + z)
    half = math.sqrt(z * share * (1 - share) + z * z / 4) / (1 + z)
    return max(0.0, middle - half), min(1.0, middle + half)


def share_difference(first: float, first_count: int, second: float, second_count: int) -> Interval:
    """The interval of `second - first`, two shares of independent cases (Newcombe, 1998, method 10).

    Of the same cases twice it is a cautious one, as long as what is easy for one is not hard for the other.
    """
    (low1, high1), (low2, high2) = wilson(first, first_count), wilson(second, second_count)
    difference = second - first
    below = math.hypot(second - low2, high1 - first)
    above = math.hypot(high2 - second, first - low1)
    return difference - below, difference + above


def mean_difference(
    first: float, first_half: float, first_count: int, second: float, second_half: float, second_count: int
) -> Interval:
    """The interval of `second - first`, two means with half of their Student-t intervals (Welch, 1947).

    The counts are of the values behind each mean, at least two. Freedom is rounded down, which is cautious.
    """
    freedoms = first_count - 1, second_count - 1
    errors = [half / t_quantile_95(free) for half, free in zip((first_half, second_half), freedoms, strict=True)]
    variance = sum(error**2 for error in errors)
    if variance == 0:
        return second - first, second - first
    freedom = variance**2 / sum(error**4 / free for error, free in zip(errors, freedoms, strict=True))
    margin = t_quantile_95(max(1, math.floor(freedom))) * math.sqrt(variance)
    return second - first - margin, second - first + margin


def paired_difference(differences: ArrayLike, seed: int = 0) -> Interval:
    """The interval of the mean of `differences` [Q], each between -1 and 1, of the same queries asked twice.

    Percentile bootstrap over the queries (Efron, 1979): how the mean varies when queries are drawn anew from these.
    Two queries are added, half of one at each end and one in the middle (Agresti & Min, 2005): without them a few
    queries that all differ the same way would look like proof.
    """
    values = np.asarray(differences, np.float64)
    # Queries that differ alike are drawn together: one draw of how often each difference occurs.
    steps, counts = np.unique((values * BINS).round(), return_counts=True)
    steps = np.concatenate([steps, [-BINS, 0, BINS]])
    counts = np.concatenate([counts, [0.5, 1, 0.5]])
    total = len(values) + 2
    drawn = np.random.default_rng(seed).multinomial(total, counts / total, BOOTSTRAP_DRAWS)
    low, high = np.quantile(drawn @ steps, [0.025, 0.975]) / BINS / total
    rounding = values.mean() - (values * BINS).round().mean() / BINS
    return float(low + rounding), float(high + rounding)


def _share_within(angle: float, freedom: int) -> float:
    odd = freedom % 2
    term = math.sin(angle) * (math.cos(angle) if odd else 1.0)
    total = 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
    return 2 / math.pi * (angle + total) if odd else total
