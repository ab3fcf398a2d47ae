"""Curves of runs: a chart for each number in their logs."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from coarsecon.report.chart import Line, Point, line_chart
from coarsecon.runtime.documents import is_number

CURVE_ORDER = (
    r"loss",
    r"fine_recall@1",
    r"coarse_recall@1",
    r".*_recall@1",
    r".*_knn",
    r".*accuracy",
    r"lr",
    r"images_per_s",
)
"""Curves shown first, in this order; all others follow."""
MONITORED = re.compile(r".*_recall@1|.*_knn")
"""Metrics monitored in training, on another sample than evaluation metrics of the same name."""
FRACTIONS = re.compile(r".*recall@\d+|.*_knn|.*accuracy|data_wait|queue_fill")
TITLES = {
    "lr": "learning rate", "images_per_s": "images per second", "data_wait": "fraction of time spent waiting for data",
    "grad_norm": "gradient norm",
}  # fmt: skip

Rows = Sequence[Mapping[str, Any]]


def curves(logs: Sequence[Rows]) -> Markup:
    """Render a chart over epochs for each number in the logs of runs (`RunFolder.metrics`)."""
    logged = [[row for row in rows if is_number(row.get("step")) and is_number(row.get("epoch"))] for rows in logs]
    names = dict.fromkeys(name for rows in logged for row in rows for name in row if name not in ("step", "epoch"))
    return Markup().join(_chart(name, logged) for name in sorted(names, key=_rank))


def steps_per_epoch(rows: Rows) -> float:
    """Estimate the steps per epoch; every epoch ends with a row."""
    for row, following in pairwise(rows):
        if following["epoch"] > row["epoch"] > 0 and row["step"] > 0:
            return float(row["step"] / row["epoch"])
    return float(rows[-1]["step"] / max(1, rows[-1]["epoch"])) or 1.0


def _chart(name: str, logs: Sequence[Rows]) -> Markup:
    lines = [Line(i, _points(name, rows)) for i, rows in enumerate(logs)]
    title = TITLES.get(name, "monitored " * bool(MONITORED.fullmatch(name)) + name.replace("_", " "))
    return line_chart(title, lines, len(logs), x_title="epochs", percent=FRACTIONS.fullmatch(name) is not None)


def _points(name: str, rows: Rows) -> list[Point]:
    found = [row for row in rows if is_number(row.get(name))]
    per_epoch = steps_per_epoch(rows) if found else 1.0
    return sorted((row["step"] / per_epoch, float(row[name])) for row in found)


def _rank(name: str) -> int:
    return next((place for place, known in enumerate(CURVE_ORDER) if re.fullmatch(known, name)), len(CURVE_ORDER))
