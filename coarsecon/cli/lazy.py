"""The group of all commands: listed from entry points, and each imported only when it is run or its help is shown."""

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from coarsecon import registry
from coarsecon.errors import CoarseconError

GROUPS = (registry.COMMANDS, registry.EVALUATIONS)
FIRST = ("quickstart", "prepare", "pretrain")
PANELS = ("Start here", "Evaluate a run", "More commands")
LISTING = "coarsecon.commands"
"""Key of the list of all commands in the context of a call."""


def command_entries() -> list[registry.Entry]:
    """Return the entries of all commands; every evaluation is one."""
    return registry.entries(*GROUPS)


def command_names() -> list[str]:
    """Return the names of all commands: the first steps, then evaluations, then the others by name."""
    panels = {entry.name: _panel(entry.name, entry.kind) for entry in command_entries()}
    return sorted(panels, key=lambda name: (panels[name], FIRST.index(name) if name in FIRST else 0, name))


def load_command(name: str) -> Any:
    """Import a command: a function, or a `typer.Typer` for a group of commands.

    Raises:
        InputError: No command has this name, or two distributions claim it.
        CoarseconError: The command cannot be imported, or is something else.
    """
    entry = registry.choose(command_entries(), name, registry.COMMANDS)
    if entry.group == registry.EVALUATIONS:
        from coarsecon.cli.evaluate import command

        return command(name)
    loaded = entry.load()
    if not callable(loaded):
        raise CoarseconError(
            entry.subject, f"{entry.value} is neither a function nor a typer.Typer", "fix or uninstall the package"
        )
    return loaded


def find_command(words: Sequence[str]) -> Any:
    """Return the command that a command line runs, in Typer's form: of `data check DIR` the command `check`.

    Raises:
        CoarseconError: No command is named, or it cannot be loaded: see `load_command`.
    """
    names = [word for word in words if not word.startswith("-")]
    if not names:
        return TyperCommand("coarsecon")
    command = _build(names[0], load_command(names[0]), list(words[1:]))
    for_arguments = getattr(command, "command_for", None)
    if for_arguments:
        return for_arguments(list(words[1:])) or command
    return next((command.commands[name] for name in names[1:2] if name in getattr(command, "commands", {})), command)


class LazyGroup(TyperGroup):
    """A group of commands that are found through entry points."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, in the order of the help text."""
        return command_names()

    def get_command(self, ctx: Any, name: str) -> Any:
        """Return a stand-in that has the name and summary of a command, for lists and completion."""
        listed = ctx.meta.setdefault(LISTING, {})
        if not listed:
            listed |= {row.name: row for row in registry.listing(*GROUPS)}
        if name not in listed:
            return None
        row = listed[name]
        return TyperCommand(name, short_help=row.text, rich_help_panel=PANELS[_panel(name, row.kind)])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that the first argument names; raises as `load_command` does."""
        name, *rest = args
        try:
            return name, _build(name, load_command(name), rest), rest
        except CoarseconError:
            if ctx.resilient_parsing:  # the shell completes a line that is wrong
                return None, None, rest
            raise


def _panel(name: str, kind: str) -> int:
    """Return the index of the panel of the help text that shows a command."""
    return 0 if name in FIRST else 1 if kind == registry.KINDS[registry.EVALUATIONS] else 2


def _build(name: str, loaded: Any, arguments: list[str]) -> Any:
    """Return a loaded command in the form in which Typer runs it; its options may depend on the arguments."""
    for_arguments = getattr(loaded, "for_arguments", None)
    loaded = for_arguments(arguments) if for_arguments else loaded
    parent = typer.Typer(rich_markup_mode="markdown")
    if isinstance(loaded, typer.Typer):
        parent.add_typer(loaded, name=name)
    else:
        parent.command(name)(loaded)
    return typer.main.get_group(parent).commands[name]
