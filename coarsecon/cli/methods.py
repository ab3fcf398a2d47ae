"""`coarsecon methods [NAME]`: every method that is installed, told without importing it."""

from typing import Annotated, Any

import typer

from coarsecon import registry
from coarsecon.cli.console import ConsoleReporter, emit_json, table, wrapped
from coarsecon.registry.distributions import broken_distributions


def methods(
    name: Annotated[str | None, typer.Argument(help="Tell all of one method.")] = None,
    json: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - is stdout.")] = None,
) -> None:
    """List the methods, built-in and from other packages, or tell all of one."""
    if name is None:
        show_list("Methods", registry.METHODS, json)
    else:
        show_method(registry.find(registry.METHODS, name), json)


def show_list(title: str, group: str, json: str | None) -> None:
    """Every entry of a group, with its distribution, version, summary, and what is wrong with it."""
    found = registry.entries(group)
    clashes = registry.claimed_twice(found)
    rows: list[dict[str, Any]] = []
    for entry in found:
        description = entry.describe()
        problem = clashes.get(entry.name, description.problem)
        rows.append(
            {
                "name": entry.name, "distribution": entry.distribution, "version": entry.version,
                "summary": description.doc.strip().partition("\n")[0], "problem": problem,
            }
        )  # fmt: skip
    for problem in broken_distributions():
        ConsoleReporter().info(f"WARNING: {problem}")
    if json:
        emit_json(rows, json)
        return
    cells = [
        (
            row["name"],
            f"broken: {row['problem']}" if row["problem"] else row["summary"],
            row["distribution"],
            row["version"],
        )
        for row in rows
    ]
    table(title, ["name", "what", "from", "version"], cells, numbers=False)


def show_method(entry: registry.Entry, json: str | None) -> None:
    """The documentation and settings of one method."""
    description = entry.describe()
    if json:
        settings = [vars(setting) for setting in description.settings]
        emit_json({**vars(entry), "doc": description.doc, "settings": settings, "problem": description.problem}, json)
        return
    print(wrapped(f"{entry.name} ({entry.value}, from {entry.distribution} {entry.version})"))
    print()
    print(wrapped(f"broken: {description.problem}" if description.problem else description.doc))
    if description.settings:
        print()
        rows = [(f"method.{s.name}", s.default, s.type, s.description) for s in description.settings]
        table("Settings", ["key", "default", "type", "what"], rows, numbers=False)
