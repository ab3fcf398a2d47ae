"""`coarsecon data audit DATA [RUN]`: problems of a dataset, with a page and a table of proposals."""

import inspect
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coarsecon.auditing.settings import AuditConfig
from coarsecon.cli.console import JsonFile, closing, emit_json, processors, table
from coarsecon.cli.generated import options_of, parse_options
from coarsecon.cli.options import CheckpointChoice, Device, LayerChoice
from coarsecon.cli.processes import single_process
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.errors import InputError

if TYPE_CHECKING:
    from coarsecon.auditing.audit import Audit


def _audit(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Prepared dataset.")],
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="Run whose features find near-duplicates, wrong labels, and outliers. Without one, near-duplicates "
            "are found by perceptual hashes, and wrong labels and outliers are not.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Page to write. Default: DATA-audit.html.")] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Table of proposals to write. Default: DATA-audit.csv.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing table of proposals, which you may have edited.")
    ] = False,
    json: JsonFile = None,
    checkpoint: CheckpointChoice = "last",
    layer: LayerChoice = "backbone",
    device: Device = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes that decode images. Default: one per processor.")
    ] = None,
    **settings: Any,
) -> None:
    """Find near-duplicates, leakage, wrong labels, outliers, and blurred, tiny, or blank images.

    Writes a page with the images and a CSV with a proposal for each, which `prepare --exclude` takes.
    """
    from coarsecon.auditing.audit import audit_dataset
    from coarsecon.data.prepared.store import open_dataset
    from coarsecon.report.audit import proposals_table, write_audit_page
    from coarsecon.report.spreadsheet import csv_file
    from coarsecon.run.facade import Run
    from coarsecon.run.spec import FeatureSpec, Runtime
    from coarsecon.runtime.files import atomic_write

    config = parse_options(AuditConfig, settings)
    name = f"{data.resolve().name}-audit"
    page, proposals = html or data.with_name(f"{name}.html"), csv or data.with_name(f"{name}.csv")
    if proposals.exists() and not overwrite:
        raise InputError(proposals, "already exists", "choose another file (csv), or set overwrite to replace it")
    reporter, count = ConsoleReporter(), workers or processors()
    runtime = Runtime(device, count, reporter)
    opened = None if run is None else Run(run, data, features=FeatureSpec(checkpoint, layer), runtime=runtime)
    found = audit_dataset(open_dataset(data), opened, config, workers=count, reporter=reporter)
    words = ["coarsecon", "data", "audit", str(data), *([str(run)] if run else []), "--overwrite", "--near"]
    write_audit_page(page, found, command=shlex.join(words))
    atomic_write(proposals, csv_file(proposals_table(found)))
    if json:
        emit_json(found.to_json(), json)
    if json != "-":
        _print(found, reporter)
    closing([page, proposals, *([Path(json)] if json and json != "-" else [])], [])


def _with_settings() -> Any:
    """Return the command with an option for each field of the settings."""
    own = list(inspect.signature(_audit).parameters.values())[:-1]
    parameters = [*own[:2], *options_of(AuditConfig), *own[2:]]

    def audit(**given: Any) -> None:
        _audit(**given)

    audit.__doc__ = _audit.__doc__
    audit.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    )
    return single_process(audit)


audit = _with_settings()


def _print(found: "Audit", reporter: ConsoleReporter) -> None:
    from coarsecon.report.audit import notes, summary_rows

    table(f"Audit of {found.images.dataset.info.name}", ["problem", "images", "proposal"], summary_rows(found))
    for note in notes(found):
        reporter.info(note)
