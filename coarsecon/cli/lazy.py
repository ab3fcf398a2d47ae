"""The group of all commands: listed from entry points, and each imported only when it is run or its help is shown."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from coarsecon import registry
from coarsecon.errors import CoarseconError

FIRST = ("quickstart", "prepare", "pretrain")
PANELS = ("Start here", "Evaluate a run", "More commands")


def command_entries() -> list[registry.Entry]:
    """Return the entries of all commands; every evaluation is one."""
    return registry.entries(registry.COMMANDS, registry.EVALUATIONS)


def command_names() -> list[str]:
    """Return the names of all commands: the first steps, then evaluations, then the others by name."""
    panels = {entry.name: _panel(entry) for entry in command_entries()}
    first = [name for name in FIRST if name in panels]
    return first + sorted(panels.keys() - set(first), key=lambda name: (panels[name], name))


def load_command(name: str) -> Any:
    """Import a command: a function, or a `typer.Typer` for a group of commands.

    Raises:
        InputError: No command has this name, or two distributions claim it.
        CoarseconError: The command cannot be imported, or is something else.
    """
    entry = registry.choose(command_entries(), name, registry.COMMANDS)
    if entry.group == registry.EVALUATIONS:
        return import_module("coarsecon.cli.evaluate").command(name)
    loaded = entry.load()
    if not callable(loaded):
        raise CoarseconError(f"command {name} of {entry.distribution}", "is neither a function nor a typer.Typer")
    return loaded


class LazyGroup(TyperGroup):
    """A group of commands that are found through entry points."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, in the order of the help text."""
        return command_names()

    def get_command(self, ctx: Any, name: str) -> Any:
        """Return a stand-in that has the name and summary of a command, for lists and completion."""
        claims = [entry for entry in command_entries() if entry.name == name]
        if not claims:
            return None
        problem = registry.claimed_twice(claims).get(name)
        summary = f"broken: {problem}" if problem else claims[0].describe().summary
        return TyperCommand(name, short_help=summary, rich_help_panel=PANELS[_panel(claims[0])])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that the first argument names; raises as `load_command` does."""
        name, *rest = args
        try:
            return name, _build(name, load_command(name)), rest
        except CoarseconError:
            if ctx.resilient_parsing:  # the shell completes a line that is wrong
                return None, None, rest
            raise


def _panel(entry: registry.Entry) -> int:
    """Return the index of the panel of the help text that shows a command."""
    if entry.name in FIRST and entry.distribution == "coarsecon":
        return 0
    return 1 if entry.group == registry.EVALUATIONS else 2


def _build(name: str, loaded: Any) -> Any:
    """Return a loaded command in the form in which Typer runs it."""
    parent = typer.Typer(rich_markup_mode="markdown")
    if isinstance(loaded, typer.Typer):
        parent.add_typer(loaded, name=name)
    else:
        parent.command(name)(loaded)
    return typer.main.get_group(parent).commands[name]
