"""Report of runs as one self-contained page: settings, curves, results, pictures and a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from coarsecon.report.comparison import Comparison, against_frozen
from coarsecon.report.curves import curves
from coarsecon.report.page import Fragment, render, write_page
from coarsecon.report.results_table import comparison_table, results_tables, settings_table
from coarsecon.run.results import Freshness, StoredResult


class ReportPicture(NamedTuple):
    """Figure as a `data:` address."""

    title: str
    uri: str
    freshness: Freshness = Freshness()


@dataclass(frozen=True)
class RunReport:
    """Contents of the report of one run; what cannot be read is empty and described in `problems`."""

    name: str
    facts: dict[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    log: Sequence[Mapping[str, Any]] = ()
    results: Sequence[StoredResult] = ()
    pictures: Sequence[ReportPicture] = ()
    fragments: Mapping[str, Fragment] = field(default_factory=dict)
    """Galleries and maps by title."""
    problems: Sequence[str] = ()
    missing: Sequence[str] = ()
    """Missing parts, each with the command that creates it."""


def write_report(path: Path, runs: Sequence[RunReport], comparison: Sequence[Comparison], *, title: str) -> None:
    """Write the self-contained page of `runs`; the first is the baseline of the comparison."""
    names = [run.name for run in runs]
    titles = list(dict.fromkeys(title for run in runs for title in run.fragments))
    baselines = [(run, against_frozen(run.results)) for run in runs]
    sections = [
        *["Comparison"] * (len(runs) > 1), *["Frozen and trained"] * any(rows for _, rows in baselines), "Curves",
        "Results", *["Pictures"] * any(run.pictures for run in runs), *titles, "Settings", "Environment",
    ]  # fmt: skip
    body = render(
        "report.html",
        title=title,
        sections=sections,
        runs=runs,
        comparison=comparison,
        differences=[each for row in comparison for each in row.differences if each and each.interval],
        comparison_table=comparison_table(comparison, names),
        left_out=[(run, result) for run in runs for result in run.results if not result.freshness.is_usable],
        baselines=[(run, comparison_table(rows, ["frozen", run.name])) for run, rows in baselines if rows],
        curves=curves([run.log for run in runs]),
        results=results_tables([run.results for run in runs], names),
        fragments=titles,
        settings=settings_table([run.settings for run in runs], names),
        environment=settings_table([run.environment for run in runs], names),
    )
    fragments = [fragment._replace(html=Markup()) for run in runs for fragment in run.fragments.values()]
    write_page(path, title, Fragment(body, ("report.css",), ("report.js",)), *fragments, layout="report")
