"""Pages that are read out of the code when the documentation is built: commands, settings, recipes and datasets."""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

import typer
from pydantic import BaseModel
from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from coarsecon import recipes, registry
from coarsecon.cli.lazy import command_names, load_command
from coarsecon.config import RunConfig
from coarsecon.detection.settings import DetectionConfig

OURS = "coarsecon"
SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


@dataclass(frozen=True)
class Parameter:
    """An argument or option of a command, as the documentation shows it."""

    name: str
    help: str
    default: str
    is_option: bool


def commands() -> Iterator[tuple[str, Any]]:
    """Yield (what is typed, its function) for every command."""
    for name in command_names():
        loaded = load_command(name)
        if not isinstance(loaded, typer.Typer):
            yield f"{OURS} {name}", loaded
            continue
        for command in loaded.registered_commands:
            assert command.callback is not None
            yield f"{OURS} {name} {command.name or command.callback.__name__}", command.callback


def parameters(function: Any) -> list[Parameter]:
    """The arguments and options of a command's function."""
    hints = get_type_hints(function, include_extras=True)
    return [_parameter(each, hints[each.name]) for each in inspect.signature(function).parameters.values()]


def _parameter(parameter: inspect.Parameter, hint: Any) -> Parameter:
    declared = next((each for each in getattr(hint, "__metadata__", ()) if isinstance(each, ParameterInfo)), None)
    has_default = parameter.default is not inspect.Parameter.empty
    is_option = isinstance(declared, OptionInfo) or (has_default and not isinstance(declared, ArgumentInfo))
    # Inside of Annotated, typer takes the first declared name for what it calls the default.
    names = (
        [name for name in (declared.default, *(declared.param_decls or ())) if isinstance(name, str)]
        if declared
        else []
    )
    if is_option:
        name = ", ".join(names) or f"--{parameter.name.strip('_').replace('_', '-')}"
    else:
        name = (declared and declared.metavar) or parameter.name.upper()
    default = "required" if not has_default else _shown(parameter.default)
    return Parameter(name, (declared and declared.help) or "", default, is_option)


def _shown(value: Any) -> str:
    return "" if value is None or value is False or value == "" else f"`{value}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; cells may hold any text."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def commands_page() -> str:
    """Every command with its arguments and options."""
    parts = ["# Commands\n", "What `--help` says of each, on one page; `--debug` works with all.\n"]
    for typed, function in commands():
        rows = [(f"`{each.name}`", each.help, each.default) for each in parameters(function)]
        parts += [f"## {typed}\n", inspect.getdoc(function) or "", ""]
        parts += [table(["argument or option", "what", "default"], rows)] if rows else []
    return "\n".join(parts)


def settings_page() -> str:
    """Every key of a run's settings, and those of every built-in method."""
    parts = [
        "# Settings\n",
        "Keys of a config file, also given as `--set KEY=VALUE`. A recipe, a file, `--set` and flags are read in this "
        "order, the later winning over the earlier. A run keeps all of them in `config.yaml`.\n",
    ]
    parts += _sections(RunConfig, "##")
    parts += ["## method\n", "`method.name` chooses the method; the other keys are its own.\n"]
    for entry in registry.entries(registry.METHODS):
        described = entry.describe()
        if entry.distribution == OURS:
            rows = [(f"`method.{s.name}`", f"`{s.type}`", f"`{s.default}`", s.description) for s in entry.settings()]
            parts += [f"### {entry.name}\n", described.summary, "", table(["key", "type", "default", "what"], rows)]
    parts += ["## detect\n", "The settings of `coarsecon detect`, kept in `detection.yaml`.\n"]
    return "\n".join([*parts, *_sections(DetectionConfig, "###")])


def _sections(config: type[BaseModel], heading: str) -> list[str]:
    """Every group of settings."""
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
    return table(["key", "type", "default", "what"], rows)


def kind(schema: dict[str, Any]) -> str:
    """A JSON schema's type in words."""
    if "anyOf" in schema:
        return " or ".join("none" if each.get("type") == "null" else kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {kind(schema['items'])}"
    limits = [f"{sign} {schema[key]:g}" for key, sign in SIGNS.items() if key in schema]
    return " ".join([schema.get("format", schema["type"]), ", ".join(limits)]).strip()


def recipes_page() -> str:
    """Every recipe with the published numbers to hold it against."""
    parts = [
        "# Recipes\n",
        "`--recipe NAME` starts from one, `coarsecon recipes show NAME` prints it. The numbers are the papers', in "
        "percent, not measurements of this project.\n",
    ]
    for command in recipes.FOLDERS:
        rows = []
        for name in recipes.names(command):
            expect = [f"{row.metric} {row.number()} ({row.source})" for row in recipes.expected(name)]
            rows.append((f"`{name}`", recipes.summary(name), "<br>".join(expect) or "none could be read"))
        parts += [f"## Of {command}\n", table(["recipe", "what", "published"], rows)]
    return "\n".join(parts)


def catalogue_page() -> str:
    """What `prepare` knows of every dataset."""
    parts = ["# Catalogue of datasets\n", "What `coarsecon datasets NAME` tells of each.\n"]
    for entry in registry.entries(registry.DATASETS):
        if entry.distribution != OURS:
            continue
        source = entry.load()
        sizes = {
            "images": ", ".join(f"{split} {count:,}" for split, count in source.counts.items()),
            "classes": ", ".join(f"{level} {count:,}" for level, count in source.levels.items()),
            "variants": ", ".join(source.variants), "side": f"{source.default_size} px", "home": source.url,
            "terms": source.terms, "disk": source.disk, "cite": source.citation,
        }  # fmt: skip
        parts += [f"## {entry.name}\n", inspect.cleandoc(source.about), ""]
        parts += [table(["", ""], [(key, text) for key, text in sizes.items() if text])]
    return "\n".join(parts)


PAGES = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "recipes.md": recipes_page,
    "catalogue.md": catalogue_page,
}
"""Where in the site each page stands, and what writes it."""
