"""The papers' settings, one YAML file per method and dataset; `pretrain --recipe NAME` starts from one."""

import difflib
from importlib.resources import files
from pathlib import Path
from typing import Any

from coarsecon.config import parse_yaml
from coarsecon.errors import InputError


def names() -> list[str]:
    """The names of all recipes, sorted."""
    return sorted(Path(item.name).stem for item in files(__name__).iterdir() if item.name.endswith(".yaml"))


def text(name: str) -> str:
    """The recipe as it is written, comments included.

    Raises:
        InputError: no recipe is called so.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]}?" if near else "`coarsecon recipes ls` lists them."
        raise InputError(f"there is no recipe called {name!r}; {hint}")
    return files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def summary(name: str) -> str:
    """The first comment line of the recipe."""
    return text(name).partition("\n")[0].lstrip("# ")


def read(name: str) -> dict[str, Any]:
    """The recipe as a layer of settings."""
    return {"recipe": name, **parse_yaml(text(name), f"recipe {name}")}
