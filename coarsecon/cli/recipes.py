"""`coarsecon recipes ls | show | cp`: the papers' settings."""

from pathlib import Path
from typing import Annotated

import typer

from coarsecon import recipes
from coarsecon.cli.console import closing, emit_json, table
from coarsecon.errors import InputError
from coarsecon.files import atomic_write

app = typer.Typer(help="List, show or copy the papers' settings.", no_args_is_help=True)


@app.command("ls")
def ls(
    json: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - is stdout.")] = None,
) -> None:
    """List the recipes."""
    rows = [(name, recipes.summary(name)) for name in recipes.names()]
    if json:
        emit_json([{"name": name, "summary": summary} for name, summary in rows], json)
    else:
        table("Recipes", ["name", "what"], rows, numbers=False)


@app.command("show")
def show(
    name: str,
    json: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - is stdout.")] = None,
) -> None:
    """Print a recipe, with the numbers to expect and where they come from."""
    if json:
        emit_json(recipes.read(name), json)
    else:
        print(recipes.text(name), end="")


@app.command("cp")
def cp(
    name: str, target: Annotated[Path | None, typer.Argument(help="File to write; default NAME.yaml.")] = None
) -> None:
    """Copy a recipe to a file of your own, to change and pass with --config."""
    path = target or Path(f"{name}.yaml")
    content = recipes.text(name)
    if path.is_dir():
        path = path / f"{name}.yaml"
    if path.exists():
        raise InputError(f"{path}: exists already; choose another name")
    atomic_write(path, content)
    closing([path], ["coarsecon", "pretrain", "--config", path, "--data", "DIR"])
