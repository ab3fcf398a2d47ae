"""`coarsecon datasets [NAME]`: every dataset source that `prepare` can read."""

from typing import Annotated

import typer

from coarsecon import registry
from coarsecon.cli.console import emit_json
from coarsecon.cli.methods import show_list


def datasets(
    name: Annotated[str | None, typer.Argument(help="Tell all of one dataset.")] = None,
    json: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - is stdout.")] = None,
) -> None:
    """List what `prepare` can read, or tell of one: source, terms, counts, citation."""
    if name is None:
        show_list("Datasets", registry.DATASETS, json)
        return
    entry = registry.find(registry.DATASETS, name)
    source = entry.load()
    if json:
        emit_json({**vars(entry), "about": source.about}, json)
    else:
        print(f"{entry.name} (from {entry.distribution} {entry.version})\n\n{source.about.strip()}")
