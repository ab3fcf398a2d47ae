"""Results of runs as tables: whatever a result file holds, and which differences between runs are more than chance."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from coarsecon.run.results import SCORES, Comparison, Difference, Freshness, Result, levels, score

MOST_ROWS = 60
LONG = 20
"""Rows from which on a table is folded."""

BY = {
    "paired": ("same queries", "a bootstrap over the queries that both runs answered"),
    "same draws": ("same draws", "Student's t-interval of the differences in the episodes or draws that both runs had"),
    "draws": ("episodes or draws", "Welch's t-interval of two means over episodes or draws"),
    "queries": (
        "shares of queries",
        "Newcombe's interval of two shares, wider than it need be: the features that would tell how each query fared "
        "are not kept, or are not those of the result",
    ),
    "other data": ("other data", "no interval: the runs were measured on different images"),
    "none": (
        "no interval",
        "the score is no share of independent queries (mAP@R, precision, AP, agreement of clusters), and how each "
        "query fared is not at hand",
    ),
}
"""How an interval was made: in a word, and what that means."""

MARKS = {
    True: ("above", "▲", "more than chance"),
    False: ("within", "≈", "within chance"),
    None: ("unknown", "·", "no interval"),
}
WORDS = {
    "map@r": "mAP@R", "r_precision": "R-precision", "nmi": "NMI", "ami": "AMI", "ari": "ARI", "ap": "AP",
    "ap50": "AP50", "ap75": "AP75", "lr": "learning rate",
}  # fmt: skip
"""Names in results that are not words when their underscores are spaces."""


def results_tables(runs: Sequence[Sequence[Result]], names: Sequence[str]) -> str:
    """Every kind of result of the runs called `names`, one table each with a column per run."""
    by_name = [{result.name: result for result in run} for run in runs]
    kinds = dict.fromkeys(name for run in by_name for name in run)
    return "".join(_kind(kind, [run.get(kind) for run in by_name], names) for kind in kinds)


def comparison_table(rows: Sequence[Comparison], names: Sequence[str]) -> str:
    """The scores that runs have in common, with the differences to the first run: a table for each result."""
    tables = "".join(
        _compared_result(name, list(of_it), names) for name, of_it in groupby(rows, lambda row: row.result)
    )
    used = {difference.by for row in rows for difference in row.differences if difference}
    notes = "".join(f"<li><b>{word}</b>: {meaning}</li>" for by, (word, meaning) in BY.items() if by in used)
    return f'{tables}<ul class="notes">{notes}</ul>'


def _compared_result(result: str, rows: Sequence[Comparison], names: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in [*names, "interval by"])
    body, marked = [], 0
    for row in rows:
        differences = [difference for difference in row.differences if difference]
        is_marked = any(difference.exceeds for difference in differences)
        marked += is_marked
        cells = "".join(map(_compared, row.values, row.differences))
        cells += f'<td class="by">{"; ".join(dict.fromkeys(BY[difference.by][0] for difference in differences))}</td>'
        label = escape(f"{_words(row.level)} {_words(row.score)}".strip())
        body.append(f'<tr class="{"marked" if is_marked else "even"}"><th scope="row">{label}</th>{cells}</tr>')
    table = f'<div class="wide"><table class="comparison"><tr><th></th>{head}</tr>{"".join(body)}</table></div>'
    about = f"{len(rows)} {'score' if len(rows) == 1 else 'scores'}, {marked} with more than chance"
    return f"<h3>{escape(result)}</h3>{_folded(table, about, len(rows))}"


def settings_table(runs: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Nested settings of runs as one table, a row for each key; rows that differ are marked."""
    flat = [dict(_flattened(run)) for run in runs]
    keys = dict.fromkeys(key for run in flat for key in run)
    rows = []
    for key in keys:
        texts = [_plain(run[key]) if key in run else "–" for run in flat]
        differs = len(set(texts)) > 1
        cells = "".join(f"<td>{text}</td>" for text in texts)
        rows.append(f'<tr class="{"differs" if differs else "same"}"><th scope="row">{escape(key)}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    return f'<div class="wide"><table class="settings"><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'


def _kind(kind: str, results: list[Result | None], names: Sequence[str]) -> str:
    """One kind of result: a row for each thing that is said of it."""
    parts = [levels(result.values) if result else {} for result in results]
    contexts = [result.context if result else None for result in results]
    alike = [context for context in contexts if context]
    shared = {name: value for name, value in (alike or [{}])[0].items() if all(value == c.get(name) for c in alike)}
    rows = [
        _row(name, [(context or {}).get(name) for context in contexts], "context")
        for name in dict.fromkeys(name for context in alike for name in context)
        if name not in shared
    ]
    about = ", ".join(f"{_words(name)} {_plain(value)}" for name, value in shared.items() if value not in (None, False))
    for level in dict.fromkeys(level for run in parts for level in run):
        said = [dict(_sayings(run.get(level, {}))) for run in parts]
        labels = dict.fromkeys(label for run in said for label in run)
        if level and labels:
            rows.append(f'<tr class="group"><th colspan="{len(names) + 1}">{escape(_words(level))}</th></tr>')
        for label in labels:
            cells = "".join(f"<td>{run.get(label, '–')}</td>" for run in said)
            rows.append(f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>')
    problems = [
        f'<p class="problem">{escape(name)}: {escape(kind)}.json {escape(result.problem)}</p>'
        for result, name in zip(results, names, strict=True)
        if result and result.problem
    ]
    problems += [
        freshness_note(result.freshness, of=name if len(names) > 1 else "")
        for result, name in zip(results, names, strict=True)
        if result and str(result.freshness)
    ]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    inside = [
        (title, name, table)
        for name, run in zip(names, parts, strict=True)
        for level, part in run.items()
        for title, table in _inner_tables(level, part)
    ]
    more = "".join(
        _details(title, [(name, table) for other, name, table in inside if other == title], named=len(names) > 1)
        for title in dict.fromkeys(title for title, _, _ in inside)
    )
    main = f'<div class="wide"><table class="result"><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'
    if len(names) > 1:  # the comparison has the scores before the reader's eyes
        main = _folded(main, f"{len(rows)} rows", len(rows))
    context = f'<p class="context">{about}</p>' if about else ""
    content = f"{context}{main}{more}" if rows else ""
    return f'<section class="kind"><h3>{escape(kind)}</h3>{"".join(problems)}{content}</section>'


def freshness_note(freshness: Freshness, *, of: str = "") -> str:
    """A note that something, `of` a run, is stale or cannot be verified; nothing where it is current."""
    if not str(freshness):
        return ""
    text = f"{of}: {freshness}" if of else str(freshness)
    return f'<p class="freshness {freshness.status}">{escape(text)}</p>'


def _sayings(part: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(label, HTML) of every plain value of a part; a score takes its interval with it."""
    for name, value in part.items():
        label = f"{prefix}{_words(name)}"
        if isinstance(value, dict) and not prefix and all(map(_is_plain, value.values())):
            yield from _sayings(value, f"{label} ")
        elif _is_plain(value) and not (name == "ci95" or name.endswith("_ci95")):
            yield label, _said(part, name)


def _said(part: Mapping[str, Any], name: str) -> str:
    value = part[name]
    is_score = SCORES.fullmatch(name) is not None
    if not (is_score or name == "chance") or not isinstance(value, int | float):
        return _plain(value)
    half_width = score(part, name).half_width if is_score else None
    margin = "" if half_width is None else f' <span class="margin">± {100 * half_width:.2f}</span>'
    return f"<b>{_percent(value)}</b>{margin}" if is_score else _percent(value)


def _inner_tables(level: str, part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(title, table) of every list or object of objects in a part."""
    for name, value in part.items():
        title = f"{_words(level)} {_words(name)}".strip()
        if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
            yield title, _inner(value)
        elif isinstance(value, dict) and value and all(isinstance(entry, dict) for entry in value.values()):
            yield title, _inner([{"": key, **entry} for key, entry in value.items()])
        elif not _is_plain(value) and not (isinstance(value, dict) and all(map(_is_plain, value.values()))):
            yield title, f"<pre>{escape(json.dumps(value, ensure_ascii=False)[:2000])}</pre>"


def _inner(entries: list[dict[str, Any]]) -> str:
    said = [dict(_sayings(entry)) for entry in entries[:MOST_ROWS]]
    labels = dict.fromkeys(label for row in said for label in row)
    columns = [label for label in labels if any(row.get(label, "–") != "–" for row in said)]
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    cells = ["".join(f"<td>{row.get(column, '–')}</td>" for column in columns) for row in said]
    rows = "".join(f"<tr>{row}</tr>" for row in cells)
    left = f"<p>and {len(entries) - MOST_ROWS:,} more</p>" if len(entries) > MOST_ROWS else ""
    return f'<div class="wide"><table class="inner"><tr>{head}</tr>{rows}</table></div>{left}'


def _folded(table: str, about: str, rows: int) -> str:
    """The table; where it is long, behind the line `about` it."""
    return table if rows < LONG else f'<details class="long"><summary>{escape(about)}</summary>{table}</details>'


def _details(title: str, tables: list[tuple[str, str]], *, named: bool) -> str:
    content = "".join(f"<h4>{escape(name)}</h4>{table}" if named else table for name, table in tables)
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def _row(name: str, values: Sequence[Any], css_class: str) -> str:
    cells = "".join(f"<td>{_plain(value)}</td>" for value in values)
    return f'<tr class="{css_class}"><th scope="row">{escape(name)}</th>{cells}</tr>'


def _compared(value: float | None, difference: Difference | None) -> str:
    if value is None:
        return "<td>–</td>"
    if difference is None:
        return f"<td><b>{_percent(value)}</b></td>"
    kind, glyph, meaning = MARKS[difference.exceeds]
    if difference.exceeds and difference.value < 0:
        kind, glyph = "below", "▼"
    interval = ""
    if difference.interval is not None:
        low, high = map(_signed, difference.interval)
        interval = f'<span class="margin"> [{low}, {high}]</span>'
    mark = f'<span class="verdict {kind}" role="img" aria-label="{meaning}" title="{meaning}">{glyph}</span>'
    return f"<td><b>{_percent(value)}</b>{mark} {_signed(difference.value)}{interval}</td>"


def _flattened(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _words(name: str) -> str:
    """A name in a result as people read it."""
    return WORDS.get(name) or name.replace("_", " ")


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _signed(value: float) -> str:
    return f"{100 * value:+.2f}".replace("-", "−")


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _plain(value: Any) -> str:
    """A value as text in HTML."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)[:500])
