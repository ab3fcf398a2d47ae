"""Lines over a common axis as inline SVG, for pages: drawn here, so that a page needs nothing from elsewhere."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from coarsecon.report.palette import palette

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 36
MOST_POINTS = 300
DASHES = ("", "7 3", "2 3", "9 3 2 3")

Point = tuple[float, float]


class Line(NamedTuple):
    """One line of a chart: its place among the colors, and its points in the order of x."""

    series: int
    points: Sequence[Point]


def line_chart(title: str, lines: Sequence[Line], count: int, *, x_title: str, percent: bool = False) -> str:
    """A figure with the lines; series i of `count` has the color and dashes of `swatch(i, count)`.

    `percent`: y holds shares. Points are thinned to 300 a line, each the mean of its neighbors.
    """
    shown = [Line(line.series, thin(line.points)) for line in lines if line.points]
    points = [point for line in shown for point in line.points]
    if not points:
        return ""
    xs, ys = zip(*points, strict=True)
    x_ticks, y_ticks = ticks(min(0.0, *xs), max(xs)), ticks(min(ys), max(ys))
    if percent and min(ys) >= 0 and max(ys) <= 1:  # then no tick is beyond all
        y_ticks = [y for y in y_ticks if 0 <= y <= 1]
    x_low, x_high = min(0.0, *xs), max(xs)
    y_low, y_high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def place(x: float, y: float) -> Point:
        across = (x - x_low) / ((x_high - x_low) or 1)
        up = (y - y_low) / ((y_high - y_low) or 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = []
    for y in y_ticks:
        _, at = place(0, y)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        label = tick_label(100 * y if percent else y, 100 * _step(y_ticks) if percent else _step(y_ticks))
        parts.append(f'<text class="tick y" x="{LEFT - 7}" y="{at + 3.5:.1f}">{label}{"%" * percent}</text>')
    for x in (x for x in x_ticks if x_low <= x <= x_high):
        at, _ = place(x, 0)
        bottom = HEIGHT - BOTTOM
        parts.append(f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(f'<text class="tick x" x="{at:.1f}" y="{bottom + 17}">{tick_label(x, _step(x_ticks))}</text>')
    parts.append(f'<text class="title" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}">{escape(x_title)}</text>')
    parts += [_draw(line, count, [place(x, y) for x, y in line.points]) for line in shown]
    label = escape(f"{title} over {x_title}")
    return (
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg></figure>'
    )


def swatch(series: int, count: int) -> str:
    """A piece of a series' line, for a legend."""
    return (
        f'<svg class="swatch" viewBox="0 0 28 10" aria-hidden="true"><path d="M1 5H27" {_stroke(series, count)}/></svg>'
    )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers in equal steps that enclose `low` to `high`; three at least, where the two are one number too."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = (low - abs(low) * 0.1, high + abs(high) * 0.1) if high else (0.0, 1.0)
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12 - math.floor(math.log10(step))) for i in range(first, last + 1)]


def tick_label(value: float, step: float) -> str:
    """A tick's number with as many digits as its step needs."""
    if value and not 1e-3 <= abs(step) < 1e5:
        return f"{value:.2g}" if step < 1 else f"{value:,.0f}"
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step * 10**decimals, 6) % 1:  # steps of 2.5
        decimals += 1
    return f"{value:,.{decimals}f}"


def thin(points: Sequence[Point]) -> list[Point]:
    """At most 300 points: the means of equal stretches, the last point as it is."""
    if len(points) <= MOST_POINTS:
        return list(points)
    stretch = math.ceil(len(points) / (MOST_POINTS - 1))
    parts = [points[i : i + stretch] for i in range(0, len(points), stretch)]
    means = [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]
    return [*means, points[-1]]


def _step(values: Sequence[float]) -> float:
    return values[1] - values[0]


def _draw(line: Line, count: int, points: list[Point]) -> str:
    """A line with a dot for every point where they are few; a single point is a dot alone."""
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dots = ""
    if len(points) <= 25:
        color = _color(line.series, count)
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{color}"/>' for x, y in points)
    return f'<g data-series="{line.series}"><path d="{path}" {_stroke(line.series, count)}/>{dots}</g>'


def _stroke(series: int, count: int) -> str:
    dash = DASHES[series % len(DASHES)]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'fill="none" stroke="{_color(series, count)}" stroke-width="2" stroke-linejoin="round"{dashes}'


def _color(series: int, count: int) -> str:
    return "#" + bytes(palette(count)[series]).hex()
