"""Metrics in result files of earlier versions, recognized by their names."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from coarsecon.metrics.metric import Metric
from coarsecon.runtime.documents import is_number

SHARES = re.compile(r"recall@\d+|top\d+|accuracy")
SCORES = re.compile(
    rf"{SHARES.pattern}|precision@\d+|map@r|r_precision|\w+_accuracy|\w+_top\d+|nmi|ami|ari|purity|ap(\d\d)?"
)


def old_metrics(values: Mapping[str, Any]) -> list[Metric]:
    """Return the metrics in a result, those of objects with the name of the object as their group.

    `ci95` is half the 95% interval of `accuracy` or `top1`, and `NAME_ci95` that of NAME, over `episodes` or `repeats`.
    Scores named as in `SHARES` without an interval are fractions of `queries`.
    """
    groups = {"": values, **{name: part for name, part in values.items() if isinstance(part, dict)}}
    return [metric for group, part in groups.items() for metric in _metrics(group, part)]


def _metrics(group: str, part: Mapping[str, Any]) -> Iterator[Metric]:
    for name, value in part.items():
        if name == "chance" and is_number(value):
            yield Metric(name, float(value), group, "chance")
        elif SCORES.fullmatch(name) and is_number(value):
            interval = part.get(f"{name}_ci95", part.get("ci95") if name in ("accuracy", "top1") else None)
            interval = float(interval) if is_number(interval) else None
            queries = _count(part, "queries")
            if SHARES.fullmatch(name) and interval is None and "ci95" not in part and queries:
                yield Metric(name, float(value), group, "share", count=queries)
            else:
                yield Metric(name, float(value), group, interval=interval, count=_count(part, "episodes", "repeats"))


def _count(part: Mapping[str, Any], *names: str) -> int | None:
    found = [int(part[name]) for name in names if is_number(part.get(name)) and part[name] >= 1]
    return found[0] if found else None
