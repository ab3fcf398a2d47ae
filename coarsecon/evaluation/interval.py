"""A mean and how sure it is."""

import math
import statistics
from collections.abc import Sequence


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


def _share_within(angle: float, freedom: int) -> float:
    odd = freedom % 2
    term = math.sin(angle) * (math.cos(angle) if odd else 1.0)
    total = 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
    return 2 / math.pi * (angle + total) if odd else total
