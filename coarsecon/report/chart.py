"""Line charts as inline SVG, which follow the colors of their page."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from coarsecon.report.page import macro

MAX_POINTS = 300

Point = tuple[float, float]


class Line(NamedTuple):
    """Line of a chart: its number among the series, which sets its color, and its points in the order of x."""

    series: int
    points: Sequence[Point]


class Frame(NamedTuple):
    """Size of a chart and the edges of the area where its lines are drawn."""

    width: int = 460
    height: int = 250
    left: int = 58
    right: int = 446
    top: int = 12
    bottom: int = 214


def line_chart(title: str, lines: Sequence[Line], count: int, *, x_title: str, percent: bool = False) -> Markup:
    """Render a figure of the lines, each of at most 300 points, the means of their neighbors.

    Args:
        count: Number of series, on which their colors depend.
        percent: The values of y are fractions.
    """
    shown = [Line(line.series, thin(line.points)) for line in lines if line.points]
    if not shown:
        return Markup()
    frame = Frame()
    xs, ys = zip(*(point for line in shown for point in line.points), strict=True)
    x_low, x_high = min(0.0, *xs), max(xs)
    x_ticks, y_ticks = ticks(x_low, x_high), ticks(min(ys), max(ys))
    if percent and min(ys) >= 0 and max(ys) <= 1:
        y_ticks = [y for y in y_ticks if 0 <= y <= 1]
    y_low, y_high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def at_x(x: float) -> float:
        return round(frame.left + (x - x_low) / ((x_high - x_low) or 1) * (frame.right - frame.left), 1)

    def at_y(y: float) -> float:
        return round(frame.bottom - (y - y_low) / ((y_high - y_low) or 1) * (frame.bottom - frame.top), 1)

    scale, suffix = (100, "%") if percent else (1, "")
    return macro(
        "charts.html",
        "chart",
        title,
        x_title,
        frame,
        [(tick_label(x, x_ticks[1] - x_ticks[0]), at_x(x)) for x in x_ticks if x_low <= x <= x_high],
        [(tick_label(scale * y, scale * (y_ticks[1] - y_ticks[0])) + suffix, at_y(y)) for y in y_ticks],
        [(line.series, [(at_x(x), at_y(y)) for x, y in line.points]) for line in shown],
        count,
    )


def ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers in equal steps that enclose `low` to `high`."""
    from matplotlib.ticker import MaxNLocator

    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = (low - abs(low) * 0.1, high + abs(high) * 0.1) if high else (0.0, 1.0)
    return [float(value) for value in MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]


def tick_label(value: float, step: float) -> str:
    """Format the number of a tick with as many digits as its step needs."""
    if value and not 1e-3 <= abs(step) < 1e5:
        return f"{value:.2g}" if step < 1 else f"{value:,.0f}"
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step * 10**decimals, 6) % 1:  # steps of 2.5
        decimals += 1
    return f"{value:,.{decimals}f}"


def thin(points: Sequence[Point]) -> list[Point]:
    """Average equal stretches so that at most 300 points remain; the last point is kept."""
    if len(points) <= MAX_POINTS:
        return list(points)
    parts = np.array_split(np.asarray(points), MAX_POINTS - 1)
    return [*((float(x), float(y)) for x, y in (part.mean(0) for part in parts)), points[-1]]
