"""`coarsecon report RUN [RUN...]`: everything known of runs on one page, and how they compare."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from coarsecon.cli.console import closing, emit_json
from coarsecon.cli.processes import single_process
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.errors import InputError, NotWritableError
from coarsecon.run.folder import open_run


@single_process
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders; the first is the baseline of the comparison."),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Page to write. Default: report.html in the first run.")
    ] = None,
    json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the comparison as JSON (- for stdout).")
    ] = None,
) -> None:
    """Write a page about runs: settings, curves, results, pictures, and which differences exceed chance."""
    opened = [open_run(run) for run in runs]
    if len({run.root.resolve() for run in opened}) < len(opened):
        raise InputError("RUNS", "contain the same run twice", "name each run once")
    from coarsecon.report.run_report import write_report
    from coarsecon.report.summary import Summary

    reporter = ConsoleReporter()
    summary = Summary(opened, reporter)
    page = out or opened[0].root / "report.html"
    title = f"Report of {', '.join(summary.names)}" if len(runs) <= 3 else f"Report of {len(runs)} runs"
    if json:
        rows = [{**asdict(row), "runs": summary.names} for row in summary.comparison]
        emit_json(rows, json)
    try:
        write_report(page, summary.reports, summary.comparison, title=title)
    except NotWritableError as error:
        raise NotWritableError(error.subject, error.problem, "pass --out FILE.html to write it elsewhere") from error
    for name, one in zip(summary.names, summary.reports, strict=True):
        for problem in one.problems:
            reporter.info(f"{name}: {problem}")
    closing([page, *([Path(json)] if json and json != "-" else [])], [])
