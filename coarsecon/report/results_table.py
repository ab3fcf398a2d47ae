"""Tables of the results of runs, of their settings, and of the differences between runs that exceed chance."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from markupsafe import Markup

from coarsecon.metrics.metric import Metric, percent
from coarsecon.report.comparison import Comparison, Difference
from coarsecon.report.page import macro
from coarsecon.run.results import Freshness, StoredResult

MAX_ROWS = 60
"""Rows shown of a table inside a result."""

BY = {
    "paired": ("same queries", "a bootstrap over the queries that both runs answered"),
    "same draws": ("same draws", "Student's t-interval of the differences in the episodes or draws that both runs had"),
    "draws": ("episodes, draws or folds", "Welch's t-interval of two means over episodes, draws or folds"),
    "queries": (
        "fractions of queries",
        "Newcombe's interval of two proportions, wider than necessary: the features that show how each query fared "
        "are not cached, or are not those of the result",
    ),
    "other data": ("other data", "no interval: the runs were evaluated on different images"),
    "none": (
        "no interval",
        "the score is not a proportion of independent queries (mAP@R, precision, AP, agreement of clusters), and how "
        "each query fared is not available",
    ),
}
"""Ways an interval is computed: a short name and its explanation."""

MARKS = {
    True: ("above", "▲", "more than chance"),
    False: ("within", "≈", "within chance"),
    None: ("unknown", "·", "no interval"),
}
WORDS = {
    "map@r": "mAP@R", "r_precision": "R-precision", "nmi": "NMI", "ami": "AMI", "ari": "ARI", "ap": "AP",
    "ap50": "AP50", "ap75": "AP75", "lr": "learning rate",
}  # fmt: skip
"""Names in results that need more than spaces for their underscores."""


class Cell(NamedTuple):
    """One value of a result as text, with half its 95% interval."""

    text: str = "–"
    margin: str = ""
    is_score: bool = False


class Row(NamedTuple):
    """Row of a table of results; without cells it is the heading of a group."""

    label: str
    cells: Sequence[Cell] = ()
    style: str = ""


class InnerTable(NamedTuple):
    """A list inside a result, or the JSON `text` of something else."""

    run: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    omitted: int = 0
    text: str = ""


class Kind(NamedTuple):
    """One kind of result with a column for each run."""

    name: str
    about: str
    problems: list[tuple[str, str]]
    notes: list[tuple[str, Freshness]]
    rows: list[Row]
    details: list[tuple[str, list[InnerTable]]]


def results_tables(runs: Sequence[Sequence[StoredResult]], names: Sequence[str]) -> Markup:
    """Render a table for each kind of result, with a column for each run; `names` are those of the runs."""
    by_name = [{result.name: result for result in run} for run in runs]
    kinds = dict.fromkeys(name for run in by_name for name in run)
    tables = [_kind(kind, [run.get(kind) for run in by_name], names) for kind in kinds]
    return macro("tables.html", "results", list(names), tables)


def comparison_table(rows: Sequence[Comparison], names: Sequence[str]) -> Markup:
    """Render the scores that runs have in common and their differences to the first run, a table for each result."""
    used = {difference.by for row in rows for difference in row.differences if difference}
    notes = [note for by, note in BY.items() if by in used]
    tables = [(name, list(map(_compared_row, group))) for name, group in groupby(rows, lambda row: row.result)]
    return macro("tables.html", "comparison", list(names), tables, notes)


def settings_table(runs: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Markup:
    """Render nested settings of runs with a row for each key; rows that differ are marked."""
    flat = [dict(_flattened(run)) for run in runs]
    keys = dict.fromkeys(key for run in flat for key in run)
    rows = [(key, [_plain(run[key]) if key in run else "–" for run in flat]) for key in keys]
    return macro("tables.html", "settings", list(names), rows)


def _compared_row(row: Comparison) -> dict[str, Any]:
    differences = [difference for difference in row.differences if difference]
    return {
        "label": f"{_words(row.level)} {_words(row.score)}".strip(),
        "cells": [_compared(row, *cell) for cell in zip(row.values, row.differences, strict=True)],
        "by": "; ".join(dict.fromkeys(BY[difference.by][0] for difference in differences)),
        "is_marked": any(difference.exceeds for difference in differences),
    }


def _compared(row: Comparison, value: float | None, difference: Difference | None) -> dict[str, Any]:
    show, show_signed = (percent, _signed_percent) if row.is_fraction else (_plain, _signed)
    if value is None or difference is None:
        return {"text": "–" if value is None else show(value), "is_score": value is not None, "mark": None}
    is_worse = difference.exceeds and (difference.value > 0) == row.lower_is_better
    return {
        "text": show(value),
        "is_score": True,
        "mark": ("below", "▼", "more than chance") if is_worse else MARKS[difference.exceeds],
        "difference": show_signed(difference.value),
        "interval": difference.interval and list(map(show_signed, difference.interval)),
    }


def _kind(kind: str, results: list[StoredResult | None], names: Sequence[str]) -> Kind:
    parts = [_parts(result) for result in results]
    metrics = [result.metrics if result else {} for result in results]
    known_names = {name for found in metrics for _, name in found}
    contexts = [result.context if result else {} for result in results]
    known = [context for context in contexts if context]
    shared = {name: value for name, value in (known or [{}])[0].items() if all(value == c.get(name) for c in known)}
    rows = [
        Row(name, [Cell(_plain(context.get(name))) for context in contexts], "context")
        for name in dict.fromkeys(name for context in known for name in context)
        if name not in shared
    ]
    for level in dict.fromkeys(level for run in parts for level in run):
        cells = [
            dict(_cells(run.get(level, {}), _of_group(found, level))) for run, found in zip(parts, metrics, strict=True)
        ]
        labels = dict.fromkeys(label for run in cells for label in run)
        if level and labels:
            rows.append(Row(_words(level), style="group"))
        rows += [Row(label, [run.get(label, Cell()) for run in cells]) for label in labels]
    details: dict[str, list[InnerTable]] = {}
    for name, run in zip(names, parts, strict=True):
        for level, part in run.items():
            for title, table in _inner_tables(name, level, part, known_names):
                details.setdefault(title, []).append(table)
    named = [(name, result) for name, result in zip(names, results, strict=True) if result]
    return Kind(
        kind,
        ", ".join(f"{_words(name)} {_plain(value)}" for name, value in shared.items() if value not in (None, False)),
        [(name, result.problem) for name, result in named if result.problem],
        [(name, result.freshness) for name, result in named],
        rows,
        list(details.items()),
    )


def _parts(result: StoredResult | None) -> dict[str, dict[str, Any]]:
    """Return the entries of a result by group, with those outside of groups under ""."""
    if result is None:
        return {}
    own, groups = result.values, {}
    for (group, name), metric in result.metrics.items():
        if group and group not in groups:
            part = own.pop(group, None)
            groups[group] = dict(part) if isinstance(part, dict) else {}
        (groups[group] if group else own).setdefault(name, metric.value)
    return ({"": own} if own else {}) | groups


def _of_group(metrics: Mapping[tuple[str, str], Metric], group: str) -> dict[str, Metric]:
    return {name: metric for (of, name), metric in metrics.items() if of == group}


def _cells(part: Mapping[str, Any], metrics: Mapping[str, Metric], prefix: str = "") -> Iterator[tuple[str, Cell]]:
    """Yield (label, cell) of every plain value of a part; a metric includes its interval."""
    for name, value in part.items():
        label = f"{prefix}{_words(name)}"
        if isinstance(value, dict) and not prefix and all(map(_is_plain, value.values())):
            yield from _cells(value, metrics, f"{label} ")
        elif _is_plain(value) and not (name == "ci95" or name.endswith("_ci95")):
            yield label, _cell(value, None if isinstance(value, str) else metrics.get(name), with_interval=not prefix)


def _cell(value: Any, metric: Metric | None, *, with_interval: bool) -> Cell:
    if metric is None or value is None:
        return Cell(_plain(value))
    show = percent if metric.is_fraction else _plain
    margin = show(metric.interval) if with_interval and metric.interval is not None else ""
    return Cell(show(value), margin, metric.kind != "chance")


def _inner_tables(
    run: str, level: str, part: Mapping[str, Any], names: Collection[str]
) -> Iterator[tuple[str, InnerTable]]:
    """Yield (title, table) of every list or object of objects in a part."""
    for name, value in part.items():
        title = f"{_words(level)} {_words(name)}".strip()
        if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
            yield title, _inner_table(run, value, names)
        elif isinstance(value, dict) and value and all(isinstance(entry, dict) for entry in value.values()):
            yield title, _inner_table(run, [{"": key, **entry} for key, entry in value.items()], names)
        elif not _is_plain(value) and not (isinstance(value, dict) and all(map(_is_plain, value.values()))):
            yield title, InnerTable(run, text=json.dumps(value, ensure_ascii=False)[:2000])


def _inner_table(run: str, entries: list[dict[str, Any]], names: Collection[str]) -> InnerTable:
    fractions = {name: Metric(name, 0.0) for name in names}
    cells = [dict(_cells(entry, fractions)) for entry in entries[:MAX_ROWS]]
    labels = dict.fromkeys(label for row in cells for label in row)
    columns = [label for label in labels if any(row.get(label, Cell()) != Cell() for row in cells)]
    rows = [[row.get(column, Cell()) for column in columns] for row in cells]
    return InnerTable(run, columns, rows, len(entries) - len(cells))


def _flattened(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _words(name: str) -> str:
    """Return a name in a result as words."""
    return WORDS.get(name) or name.replace("_", " ")


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _signed_percent(value: float) -> str:
    return f"{100 * value:+.2f}".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.4g}".replace("-", "−")


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)[:500]
