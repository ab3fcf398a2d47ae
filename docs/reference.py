"""Pages generated from the code when the documentation is built: commands, settings, recipes, and datasets."""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import typer
from pydantic import BaseModel

from coarsecon import recipes, registry
from coarsecon.cli.lazy import command_names
from coarsecon.cli.main import app
from coarsecon.config import RunConfig
from coarsecon.detection.settings import DetectionConfig

OURS = "coarsecon"
HEAD = ("key", "type", "default", "description")
SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


@dataclass(frozen=True)
class Parameter:
    """Argument or option of a command."""

    name: str
    help: str
    default: str


def commands() -> Iterator[tuple[str, Any]]:
    """Yield (command line, command) for every command; `prepare` is one, whatever the dataset."""
    group: Any = typer.main.get_group(app)
    for name in command_names():
        _, command, _ = group.resolve_command(SimpleNamespace(resilient_parsing=False), [name])
        below = getattr(command, "commands", None)
        yield from ((f"{OURS} {name} {each}", below[each]) for each in below or ())
        if not below:
            yield f"{OURS} {name}", command


def parameters(command: Any) -> list[Parameter]:
    """List the arguments and options of a command."""
    return [_parameter(each) for each in command.params if each.name != "help" and not getattr(each, "hidden", False)]


def _parameter(parameter: Any) -> Parameter:
    names = [*parameter.opts, *parameter.secondary_opts]
    name = ", ".join(names) if parameter.param_type_name == "option" else parameter.metavar or parameter.name.upper()
    shown = "required" if parameter.required else _shown(parameter.default)
    return Parameter(name, getattr(parameter, "help", None) or "", shown)


def _shown(value: Any) -> str:
    return "" if callable(value) or value in (None, False, "", (), []) else f"`{value}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table; cells may contain any text."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def commands_page() -> str:
    """Page of all commands with their arguments and options."""
    parts = ["# Commands\n", "The `--help` texts of all commands; `--debug` works with every command.\n"]
    for typed, command in commands():
        rows = [(f"`{each.name}`", each.help, each.default) for each in parameters(command)]
        parts += [f"## {typed}\n", inspect.cleandoc(command.help or ""), ""]
        parts += [table(["argument or option", "description", "default"], rows)] if rows else []
    return "\n".join(parts)


def settings_page() -> str:
    """Page of all settings of a run and of every built-in method."""
    parts = [
        "# Settings\n",
        "Keys of a config file, also accepted as `--set KEY=VALUE`. A recipe, a config file, `--set`, and flags apply "
        "in this order; later ones override earlier ones. A run saves all settings in `config.yaml`.\n",
    ]
    parts += _sections(RunConfig, "##")
    parts += ["## method\n", "`method.name` selects the method; the other keys belong to that method.\n"]
    for entry in registry.entries(registry.METHODS):
        described = entry.describe()
        if entry.distribution == OURS:
            rows = [(f"`method.{s.name}`", f"`{s.type}`", f"`{s.default}`", s.description) for s in entry.settings()]
            parts += [f"### {entry.name}\n", described.summary, "", table(HEAD, rows)]
    parts += ["## detect\n", "Settings of `coarsecon detect`, saved in `detection.yaml`.\n"]
    return "\n".join([*parts, *_sections(DetectionConfig, "###")])


def _sections(config: type[BaseModel], heading: str) -> list[str]:
    """Format each section of settings."""
    parts, schema = [], config.model_json_schema()
    for name, field in config.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            parts += [f"{heading} {name}\n", inspect.getdoc(model) or "", "", _section(name, model, schema)]
    return parts


def _section(section: str, model: type[BaseModel], schema: dict[str, Any]) -> str:
    properties = schema["$defs"][model.__name__]["properties"]
    rows = []
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        rows.append((f"`{section}.{name}`", kind(properties[name]), shown, field.description or ""))
    return table(HEAD, rows)


def kind(schema: dict[str, Any]) -> str:
    """Describe the type of a JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join("none" if each.get("type") == "null" else kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {kind(schema['items'])}"
    limits = [f"{sign} {schema[key]:g}" for key, sign in SIGNS.items() if key in schema]
    return " ".join([schema.get("format", schema["type"]), ", ".join(limits)]).strip()


def recipes_page() -> str:
    """Page of all recipes with their published numbers."""
    parts = [
        "# Recipes\n",
        "`--recipe NAME` uses a recipe, `coarsecon recipes show NAME` prints it. Numbers are published results in "
        "percent, not measurements of this project.\n",
    ]
    for command in recipes.FOLDERS:
        rows = []
        for name in recipes.names(command):
            expect = [f"{row.metric} {row.number()} ({row.source})" for row in recipes.expected(name)]
            rows.append((f"`{name}`", recipes.summary(name), "<br>".join(expect) or "none available"))
        parts += [f"## {command}\n", table(["recipe", "description", "published"], rows)]
    return "\n".join(parts)


def catalog_page() -> str:
    """Page of all dataset sources."""
    parts = ["# Dataset sources\n", "The output of `coarsecon datasets NAME` for each source.\n"]
    for entry in registry.entries(registry.DATASETS):
        if entry.distribution != OURS:
            continue
        source = entry.load()
        sizes = {
            "images": ", ".join(f"{split} {count:,}" for split, count in source.counts.items()),
            "classes": ", ".join(f"{level} {count:,}" for level, count in source.levels.items()),
            "variants": ", ".join(source.variants), "image size": f"{source.default_size} px", "website": source.url,
            "terms": source.terms, "disk": source.disk, "cite": source.citation,
        }  # fmt: skip
        parts += [f"## {entry.name}\n", inspect.cleandoc(source.about), ""]
        parts += [table(["", ""], [(key, text) for key, text in sizes.items() if text])]
    return "\n".join(parts)


PAGES = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "recipes.md": recipes_page,
    "catalog.md": catalog_page,
}
"""Generated pages and the functions that write them."""
