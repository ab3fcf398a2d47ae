"""The papers' settings, one YAML file per method and dataset; `pretrain --recipe NAME` starts from one.

Those in the folder `detection` are of `detect --recipe NAME`.

A recipe is a file of settings with one more section at its end: `expect`, the published numbers that a run with these
settings is to be held against, each with its source; empty where no number could be read.
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
"""Where the recipes of each command lie."""

EXPECT = "\nexpect:"
"""Where the settings of a recipe end and its numbers begin."""


class Expected(Settings):
    """A published number."""

    metric: str = Field(description="label level and measure, as evaluations print them")
    value: float = Field(description="in percent")
    ci95: float | None = Field(None, description="half the 95% interval, in percent, where published")
    source: str = Field(description="paper and table")

    def number(self) -> str:
        """The value, with its interval if it has one."""
        return f"{self.value:g}" + (f" ± {self.ci95:g}" if self.ci95 is not None else "")


def names(command: Command = "pretrain") -> list[str]:
    """The names of the recipes of a command, sorted."""
    return sorted(_written(command))


def command_of(name: str) -> Command:
    """The command that a recipe is for.

    Raises:
        InputError: no recipe is called so.
    """
    for command in FOLDERS:
        if name in _written(command):
            return command
    every = [name for command in FOLDERS for name in names(command)]
    near = difflib.get_close_matches(name, every, n=1)
    hint = f"did you mean {near[0]}?" if near else "`coarsecon recipes ls` lists them."
    raise InputError(f"there is no recipe called {name!r}; {hint}")


@cache
def _written(command: Command) -> dict[str, str]:
    """What stands in each recipe's file, by name; read once, as a list of all asks for each of them twice."""
    folder = files(__name__).joinpath(FOLDERS[command])
    found = [item for item in folder.iterdir() if item.name.endswith(".yaml")]
    return {item.name.removesuffix(".yaml"): item.read_text(encoding="utf-8") for item in found}


def text(name: str) -> str:
    """The settings as they are written, comments included, which `--config` reads.

    Raises:
        InputError: no recipe is called so.
    """
    return _parts(name)[0]


def summary(name: str) -> str:
    """The first comment line of the recipe."""
    return text(name).partition("\n")[0].lstrip("# ")


def read(name: str, command: Command = "pretrain") -> dict[str, Any]:
    """The recipe as a layer of settings.

    Raises:
        InputError: no recipe of this command is called so.
    """
    if (right := command_of(name)) != command:
        raise InputError(f"the recipe {name} is for `coarsecon {right}`, not {command}")
    return {"recipe": name, **parse_yaml(text(name), f"recipe {name}")}


def expected(name: str) -> list[Expected]:
    """The published numbers to hold a run of this recipe against."""
    rows = parse_yaml(_parts(name)[1], f"recipe {name}") or []
    return [validate(Expected, row, section="expect") for row in rows]


def _parts(name: str) -> tuple[str, str]:
    """The recipe's settings and its list of numbers, as YAML."""
    settings, _, numbers = _written(command_of(name))[name].partition(EXPECT)
    return settings.rstrip() + "\n", numbers
