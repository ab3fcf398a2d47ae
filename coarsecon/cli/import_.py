"""Read a foreign checkpoint into a run folder."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from coarsecon import registry
from coarsecon.cli.console import closing
from coarsecon.cli.plugin_options import with_options_of
from coarsecon.cli.processes import single_process
from coarsecon.cli.progress import ConsoleReporter

FORMS = "; ".join(f"{row.name}: {row.text.rstrip('.')}" for row in registry.listing(registry.IMPORTERS))


def _config(name: str) -> type[BaseModel]:
    from coarsecon.importers import Importer, ImporterConfig

    return registry.load_class(registry.IMPORTERS, name, Importer).Config if name else ImporterConfig


@with_options_of(_config, "--from")
@single_process
def import_(
    file: Annotated[Path, typer.Argument(help="The checkpoint. Nothing in it is executed.")],
    form: Annotated[str, typer.Option("--from", metavar="FORM", help=f"Form of the checkpoint. {FORMS}.")],
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Prepared dataset for evaluations; gives image size and statistics.", show_default=False),
    ] = None,
    **options: Any,
) -> None:
    """Turn a checkpoint into a run that every evaluation accepts; what was not loaded is listed."""
    from coarsecon.cli.generated import parse_options
    from coarsecon.importers.convert import import_checkpoint

    settings = parse_options(_config(form), options).model_dump()
    report = import_checkpoint(file, form, out, data=data, **settings)
    for title, entries in vars(report).items():
        if entries:
            ConsoleReporter().info(f"{title.replace('_', ' ')}: {'; '.join(entries)}")
    closing([out], ["coarsecon", "retrieve", out, *(["--data", "DIR"] if data is None else [])])
