"""List everything that is installed, by kind: methods, datasets, evaluations, exporters, importers and commands."""

from dataclasses import asdict

from coarsecon import registry
from coarsecon.cli.console import JsonFile, emit_json, table
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.registry.distributions import broken_distributions


def plugins(json: JsonFile = None) -> None:
    """List everything that is installed, built-in and third-party, by kind, with what is broken.

    Each line has the distribution and the version it comes from. Nothing is imported.
    """
    rows = [row for group in registry.KINDS for row in registry.listing(group)]
    _warn_of_broken_distributions()
    if json:
        emit_json([asdict(row) for row in rows], json)
        return
    cells = [(row.name, row.kind, row.distribution, row.version) for row in rows]
    table("Plugins", ["name", "kind", "from", "version"], cells, numbers=False)
    if broken := [(row.name, row.kind, row.distribution, row.problem) for row in rows if row.problem]:
        table("Broken plugins", ["name", "kind", "from", "problem"], broken, numbers=False)


def show_list(title: str, group: str, json: str | None) -> None:
    """Print or write every object of a group, with its distribution, version, and summary or problem."""
    rows = registry.listing(group)
    _warn_of_broken_distributions()
    if json:
        emit_json([{key: value for key, value in vars(row).items() if key != "kind"} for row in rows], json)
        return
    cells = [(row.name, row.text, row.distribution, row.version) for row in rows]
    table(title, ["name", "description", "from", "version"], cells, numbers=False)


def _warn_of_broken_distributions() -> None:
    for problem in broken_distributions():
        ConsoleReporter().info(f"WARNING: {problem}")
