"""List, show or copy the papers' settings."""

from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Annotated

import typer

from coarsecon.cli.console import JsonFile, closing, emit_json, table, wrapped
from coarsecon.errors import InputError

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command("ls")
def ls(json: JsonFile = None) -> None:
    """List the recipes; `show` prints the published numbers of one, and the JSON those of all."""
    from coarsecon import recipes

    named = {command: recipes.names(command) for command in recipes.FOLDERS}
    if json:
        rows = [
            {
                "name": name,
                "command": command,
                "summary": recipes.summary(name),
                "expect": [row.model_dump() for row in recipes.expected(name)],
            }
            for command, names in named.items()
            for name in names
        ]
        emit_json(rows, json)
        return
    for command, names in named.items():
        cells = [(name, recipes.summary(name)) for name in names]
        table(f"Recipes of {command}", ["name", "what"], cells, numbers=False)


@app.command("show")
def show(name: str, json: JsonFile = None) -> None:
    """Print a recipe, then the published numbers to expect and where they come from.

    The JSON has `name`, `command`, `summary`, `settings` and `expect`: a list of `metric`, `value`, `ci95`, `source`.
    """
    from coarsecon import recipes

    expect, command = recipes.expected(name), recipes.command_of(name)
    if json:
        header = {"name": name, "command": command, "summary": recipes.summary(name)}
        rows = [row.model_dump() for row in expect]
        emit_json({**header, "settings": recipes.read(name, command), "expect": rows}, json)
        return
    print(_wrapped_comments(recipes.text(name)))
    if expect:
        cells = [(row.metric, row.number(), row.source) for row in expect]
        table("To expect, in %", ["metric", "number", "source"], cells, numbers=False)
    else:
        print("No published number is known for these settings.")


def _wrapped_comments(text: str) -> str:
    """A recipe's text with its leading comments wrapped to the terminal; their first line stays first."""
    lines = text.splitlines()
    first, *others = [line.removeprefix("# ") for line in takewhile(lambda line: line.startswith("# "), lines)] or [""]
    comments = [wrapped(part, "# ") for part in (first, "\n".join(others)) if part]
    return "\n".join([*comments, *dropwhile(lambda line: line.startswith("# "), lines)])


@app.command("cp")
def cp(
    name: str, target: Annotated[Path | None, typer.Argument(help="File to write; default NAME.yaml.")] = None
) -> None:
    """Copy a recipe's settings to a new file, to edit and pass with --config.

    The published numbers are not copied, since they hold for the unchanged recipe.
    """
    from coarsecon import recipes
    from coarsecon.runtime.files import atomic_write

    path = target or Path(f"{name}.yaml")
    content = recipes.text(name)
    if path.is_dir():
        path = path / f"{name}.yaml"
    if path.exists():
        raise InputError(path, "exists already", "choose another name")
    atomic_write(path, content)
    command = recipes.command_of(name)
    closing([path], ["coarsecon", command, *["RUN"] * (command == "detect"), "--config", path, "--data", "DIR"])
