"""Charts: round ticks that enclose the data, points where they belong, and long logs thinned faithfully."""

import re
from itertools import pairwise

import pytest

from coarsecon.report.chart import Line, line_chart, thin, tick_label, ticks
from coarsecon.report.curves import curves, steps_per_epoch


@pytest.mark.parametrize(
    "span", [(0, 1), (0, 20), (-3, 4.2), (0.553, 0.741), (1e-7, 4e-6), (1000, 250000), (5, 5), (0, 0)]
)
def test_ticks_are_round_equally_spaced_and_enclose(span):
    found = ticks(*span)
    low, high = span
    assert found[0] <= low + 1e-12 * abs(low)
    assert found[-1] >= high - 1e-12 * abs(high)
    assert 2 <= len(found) <= 9
    steps = [b - a for a, b in pairwise(found)]
    assert max(steps) == pytest.approx(min(steps))
    labels = [tick_label(value, steps[0]) for value in found]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("value", "step", "label"), [(0.25, 0.05, "0.25"), (7.5, 2.5, "7.5"), (2000, 1000, "2,000"), (20, 20, "20")]
)
def test_a_tick_has_the_digits_its_step_needs(value, step, label):
    assert tick_label(value, step) == label


def paths(svg: str) -> list[list[tuple[float, float]]]:
    return [
        [tuple(map(float, point.split())) for point in found.split("L")]
        for found in re.findall(r'<path d="M([^"]+)" fill="none"', svg)
    ]


def test_points_lie_where_the_axes_say():
    svg = line_chart("loss", [Line(0, [(0, 0), (5, 1), (10, 2)]), Line(1, [(10, 0)])], 2, x_title="epochs")
    first, second = paths(svg)
    assert first[1] == pytest.approx(((first[0][0] + first[2][0]) / 2, (first[0][1] + first[2][1]) / 2), abs=0.1)
    assert first[0][1] > first[2][1]  # up is less in SVG
    assert second[0] == (first[2][0], first[0][1])
    assert 'data-series="1"' in svg
    assert line_chart("nothing", [Line(0, [])], 1, x_title="epochs") == ""


def test_long_lines_are_thinned_to_means_and_keep_their_end():
    points = [(float(i), float(i % 2)) for i in range(10_000)]
    thinned = thin(points)
    assert len(thinned) <= 301
    assert thinned[-1] == points[-1]
    assert {round(y, 1) for _, y in thinned[:-2]} == {0.5}
    assert thin(points[:300]) == points[:300]


def test_curves_stand_over_epochs_and_skip_what_is_no_number():
    log = [
        {"step": 5, "epoch": 1, "loss": 3.0, "images_per_s": 10},
        {"step": 10, "epoch": 1, "loss": float("nan")},
        {"step": 20, "epoch": 2, "loss": 1.0, "note": "text"},
        {"epoch": "<b>"},
    ]
    assert steps_per_epoch(log[:3]) == 10
    html = curves([log, []])
    assert html.count("<figure") == 2
    assert html.index("loss") < html.index("images per second")
    assert "note" not in html
    assert len(paths(html)[0]) == 2


def test_no_share_has_a_tick_beyond_all_and_monitored_ones_are_called_so():
    log = [{"step": step, "epoch": step, "queue_fill": 1.0, "fine_recall@1": 0.99, "grad_norm": 1.0} for step in (1, 2)]
    html = curves([log])
    assert ">100%<" in html
    assert max(float(number) for number in re.findall(r">([\d.]+)%<", html)) == 100
    assert "<figcaption>monitored fine recall@1<" in html
    assert ">1.10<" in html  # the norm is no share
