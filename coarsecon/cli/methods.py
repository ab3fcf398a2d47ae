"""List the methods, or show the documentation and settings of one, without importing any."""

from typing import Annotated

import typer

from coarsecon import registry
from coarsecon.cli.console import JsonFile, emit_json, table, wrapped
from coarsecon.cli.plugins import show_list


def methods(
    name: Annotated[str | None, typer.Argument(help="Method to describe. Default: list all.")] = None,
    json: JsonFile = None,
) -> None:
    """List the methods, built-in and third-party, or describe one with its settings."""
    if name is None:
        show_list("Methods", registry.METHODS, json)
    else:
        _describe(registry.find(registry.METHODS, name), json)


def _describe(entry: registry.Entry, json: str | None) -> None:
    description = entry.describe()
    settings = [] if description.problem else entry.settings()
    if json:
        facts = {"doc": description.doc, "settings": [vars(each) for each in settings], "problem": description.problem}
        emit_json({**vars(entry), **facts}, json)
        return
    print(wrapped(f"{entry.name} ({entry.value}, from {entry.distribution} {entry.version})"))
    print()
    print(wrapped(f"broken: {description.problem}" if description.problem else description.doc))
    if settings:
        print()
        rows = [(f"method.{each.name}", each.default, each.type, each.description) for each in settings]
        table("Settings", ["key", "default", "type", "description"], rows, numbers=False)
