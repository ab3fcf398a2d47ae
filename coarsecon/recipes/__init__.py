"""Paper recipes: published settings, one YAML file per method and dataset, for `pretrain` and `detect`.

A recipe is a file of settings with one more section at its end: `expect`, the published numbers to compare a run with,
each with its source; empty if the paper has no readable number.
"""

import difflib
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import Field

from coarsecon.config import Settings, validate
from coarsecon.errors import InputError
from coarsecon.runtime.documents import parse_yaml

Command = Literal["pretrain", "detect"]

FOLDERS: dict[Command, str] = {"pretrain": ".", "detect": "detection"}
"""Folders of the recipes of each command."""

EXPECT = "\nexpect:"
"""Separator between the settings of a recipe and its numbers."""


class Expected(Settings):
    """A published number."""

    metric: str = Field(description="Label level and metric, as evaluations print them.")
    value: float = Field(description="Value in percent.")
    ci95: float | None = Field(None, description="Half the 95% interval in percent, if published.")
    source: str = Field(description="Paper and table.")

    def number(self) -> str:
        """Format the value, with its interval if it has one."""
        return f"{self.value:g}" + (f" ± {self.ci95:g}" if self.ci95 is not None else "")


def names(command: Command = "pretrain") -> list[str]:
    """List the names of the recipes of a command, sorted."""
    return sorted(_texts(command))


def command_of(name: str) -> Command:
    """Return the command that a recipe is for.

    Raises:
        InputError: There is no such recipe.
    """
    for command in FOLDERS:
        if name in _texts(command):
            return command
    every = [name for command in FOLDERS for name in names(command)]
    near = difflib.get_close_matches(name, every, n=1)
    hint = f"did you mean {near[0]}?" if near else "`coarsecon recipes ls` lists them"
    raise InputError("recipe", f"there is no recipe called {name!r}", hint)


@cache
def _texts(command: Command) -> dict[str, str]:
    """Read the recipe files of a command, by name; cached, because a listing needs each of them twice."""
    folder = files(__name__).joinpath(FOLDERS[command])
    found = [item for item in folder.iterdir() if item.name.endswith(".yaml")]
    return {item.name.removesuffix(".yaml"): item.read_text(encoding="utf-8") for item in found}


def text(name: str) -> str:
    """Return the text of the settings, with comments, in the form of a config file.

    Raises:
        InputError: There is no such recipe.
    """
    return _parts(name)[0]


def summary(name: str) -> str:
    """Return the first comment line of the recipe."""
    return text(name).partition("\n")[0].lstrip("# ")


def read(name: str, command: Command = "pretrain") -> dict[str, Any]:
    """Read the recipe as a layer of settings.

    Raises:
        InputError: There is no such recipe for this command.
    """
    if (right := command_of(name)) != command:
        raise InputError("recipe", f"{name} is for `coarsecon {right}`, not for `coarsecon {command}`")
    return {"recipe": name, **parse_yaml(text(name), f"recipe {name}")}


def expected(name: str) -> list[Expected]:
    """Return the published numbers to compare a run of this recipe with."""
    rows = parse_yaml(_parts(name)[1], f"recipe {name}") or []
    return [validate(Expected, row, section="expect") for row in rows]


def _parts(name: str) -> tuple[str, str]:
    """Split the recipe into its settings and its list of numbers, as YAML."""
    settings, _, numbers = _texts(command_of(name))[name].partition(EXPECT)
    return settings.rstrip() + "\n", numbers
