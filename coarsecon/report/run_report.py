"""Runs on one self-contained page: settings, curves, every result, pictures, and how the runs compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from coarsecon.report.chart import swatch
from coarsecon.report.curves import curves, legend
from coarsecon.report.page import Fragment, asset, write_page
from coarsecon.report.results_table import comparison_table, freshness_note, results_tables, settings_table
from coarsecon.run.results import Comparison, Freshness, Result

LEAVES_OUT = (
    "Intervals are of 95%, so about one in twenty differences that are nothing is marked all the same. They say what "
    "other queries or draws of the same kind would give, and nothing of another training seed: train with several "
    "seeds to know that."
)


class ReportPicture(NamedTuple):
    """A figure as a `data:` address."""

    title: str
    uri: str
    freshness: Freshness = Freshness()


@dataclass(frozen=True)
class RunReport:
    """What is known of one run; whatever cannot be read is left empty and told in `problems`."""

    name: str
    facts: dict[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    log: Sequence[Mapping[str, Any]] = ()
    results: Sequence[Result] = ()
    pictures: Sequence[ReportPicture] = ()
    fragments: Mapping[str, Fragment] = field(default_factory=dict)
    """Galleries and maps by title."""
    problems: Sequence[str] = ()
    missing: Sequence[str] = ()
    """What is not there yet, and the command that makes it."""


def write_report(path: Path, runs: Sequence[RunReport], comparison: Sequence[Comparison], *, title: str) -> None:
    """Write the page; every text is escaped, and it loads nothing from elsewhere."""
    names = [run.name for run in runs]
    fragments = [fragment for run in runs for fragment in run.fragments.values()]
    sections = {
        "Comparison": _comparison(comparison, names) + _left_out(runs) if len(runs) > 1 else "",
        "Curves": _curves(runs),
        "Results": _results(runs, names),
        "Pictures": _pictures(runs),
        **_embedded(runs),
        "Settings": _settings(runs),
        "Environment": settings_table([run.environment for run in runs], names),
    }
    shown = {name: html for name, html in sections.items() if html}
    body = Template(asset("report.html")).substitute(
        title=escape(title),
        links="".join(f'<li><a href="#{_anchor(name)}">{escape(name)}</a></li>' for name in shown),
        runs="".join(_run(i, run, len(runs)) for i, run in enumerate(runs)),
        sections="".join(
            f'<section id="{_anchor(name)}"><h2>{escape(name)}</h2>{html}</section>' for name, html in shown.items()
        ),
    )
    whole = Fragment(body, styles=("report.css",), scripts=("report.js",))
    write_page(path, title, whole, *(fragment._replace(html="") for fragment in fragments))


def _run(series: int, run: RunReport, count: int) -> str:
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in run.facts.items())
    problems = "".join(f'<li class="problem">{escape(problem)}</li>' for problem in run.problems)
    missing = "".join(f"<li>{escape(text)}</li>" for text in run.missing)
    notes = f'<ul class="notes">{problems}{missing}</ul>' if problems or missing else ""
    mark = swatch(series, count) if count > 1 else ""
    return f'<article class="run"><h2>{mark} {escape(run.name)}</h2><dl>{facts}</dl>{notes}</article>'


def _comparison(rows: Sequence[Comparison], names: Sequence[str]) -> str:
    if not rows:
        return _nothing("the runs have no result of the same kind yet")
    intervals = [difference for row in rows for difference in row.differences if difference and difference.interval]
    marked = sum(bool(difference.exceeds) for difference in intervals)
    about = f"Every run against the first, {escape(names[0])}: "
    if not intervals:
        about += "no difference has an interval, so that none can be told from chance; why is said below."
        return f'<p class="about">{about}</p>{comparison_table(rows, names)}'
    about += (
        f"{marked} of {len(intervals)} differences with an interval are more than chance (▲ better, ▼ worse); "
        f"≈ is within chance. {LEAVES_OUT}"
    )
    switch = '<label class="switch"><input type="checkbox" class="only-marked"> only rows with more than chance</label>'
    return f'<p class="about">{about}</p>{switch}{comparison_table(rows, names)}'


def _left_out(runs: Sequence[RunReport]) -> str:
    """The stale results, which are compared with nothing."""
    items = "".join(
        f"<li>{escape(run.name)}, {escape(result.name)}: {escape(str(result.freshness))}</li>"
        for run in runs
        for result in run.results
        if not result.freshness.is_usable
    )
    return f'<p class="about">Left out of the comparison:</p><ul class="notes left-out">{items}</ul>' if items else ""


def _results(runs: Sequence[RunReport], names: Sequence[str]) -> str:
    tables = results_tables([run.results for run in runs], names)
    return f'<div class="kinds">{tables}</div>' if tables else _nothing("no result yet")


def _curves(runs: Sequence[RunReport]) -> str:
    charts = curves([run.log for run in runs])
    if not charts:
        return _nothing("nothing logged yet")
    return f'{legend([run.name for run in runs]) if len(runs) > 1 else ""}<div class="charts">{charts}</div>'


def _pictures(runs: Sequence[RunReport]) -> str:
    figures = "".join(
        f'<figure class="picture"><figcaption>{escape(_titled(run, picture.title, runs))}'
        f"{freshness_note(picture.freshness)}</figcaption>"
        f'<img src="{picture.uri}" alt="{escape(picture.title)}"></figure>'
        for run in runs
        for picture in run.pictures
    )
    return f'<div class="pictures">{figures}</div>' if figures else ""


def _embedded(runs: Sequence[RunReport]) -> dict[str, str]:
    """The galleries and maps of all runs, by title."""

    def of_run(run: RunReport, title: str) -> str:
        name = f"<h3>{escape(run.name)}</h3>" if len(runs) > 1 else ""
        return f'<div class="of-run">{name}{run.fragments[title].html}</div>' if title in run.fragments else ""

    titles = dict.fromkeys(title for run in runs for title in run.fragments)
    return {title: "".join(of_run(run, title) for run in runs) for title in titles}


def _settings(runs: Sequence[RunReport]) -> str:
    table = settings_table([run.settings for run in runs], [run.name for run in runs])
    if len(runs) == 1:
        return table
    return f'<label class="switch"><input type="checkbox" class="only-differing"> only what differs</label>{table}'


def _titled(run: RunReport, title: str, runs: Sequence[RunReport]) -> str:
    return f"{run.name}: {title}" if len(runs) > 1 else title


def _nothing(why: str) -> str:
    return f'<p class="nothing">{escape(why)}</p>'


def _anchor(name: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in name.lower())
