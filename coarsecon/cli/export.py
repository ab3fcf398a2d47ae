"""Write the encoder of a run for other tools."""

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from coarsecon import registry
from coarsecon.cli.console import closing
from coarsecon.cli.options import CheckpointChoice, OldCheckpoint, RunArgument, chosen_checkpoint
from coarsecon.cli.plugin_options import with_options_of
from coarsecon.cli.processes import single_process
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.errors import NotWritableError
from coarsecon.run.folder import open_run

FORMATS = "; ".join(f"{row.name}: {row.text.rstrip('.')}" for row in registry.listing(registry.EXPORTERS))


def _config(name: str) -> type[BaseModel]:
    from coarsecon.exporters import Exporter

    return registry.load_class(registry.EXPORTERS, name, Exporter).Config


@with_options_of(_config, "--to", "--format", default="timm")
@single_process
def export(
    run: RunArgument,
    to: Annotated[str, typer.Option(metavar="FORMAT", help=f"Format. {FORMATS}.")] = "timm",
    format: Annotated[str | None, typer.Option(hidden=True, help="Now called --to.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write. Default: RUN/export/FORMAT.", show_default=False)
    ] = None,
    checkpoint: CheckpointChoice = "last",
    encoder: OldCheckpoint = None,
    **options: Any,
) -> None:
    """Write the encoder, with its input transform, for other tools; its features are compared with the run's.

    A format may have further options: `coarsecon export --to FORMAT --help` shows them.
    """
    from coarsecon.cli.generated import parse_options
    from coarsecon.exporters import export as write
    from coarsecon.run.facade import Run
    from coarsecon.run.spec import FeatureSpec

    if format is not None:
        warnings.warn("--format is now called --to", FutureWarning, stacklevel=2)
    name, opened = format or to, open_run(run)
    target = out or opened.root / "export" / name
    if out is None:
        opened.check_owned(target)
    settings = parse_options(_config(name), options).model_dump()
    used = Run(opened, features=FeatureSpec(chosen_checkpoint(checkpoint, encoder)))
    try:
        notes = write(used, name, target, **settings)
    except NotWritableError as error:
        raise NotWritableError(error.subject, error.problem, "pass --out FOLDER to write it elsewhere") from error
    for note in notes:
        ConsoleReporter().info(note)
    closing([target], [])
