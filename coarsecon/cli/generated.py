"""Build the options of a command from the fields of a pydantic model: names, types, defaults, bounds and help texts."""

import inspect
import warnings
from collections.abc import Mapping
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from coarsecon.runtime.settings import validate

M = TypeVar("M", bound=BaseModel)

METAVAR, ARGUMENT, TEXT, OLD_NAME = "metavar", "argument", "text", "old_name"
"""Keys of `json_schema_extra`: the placeholder of a value in the help text; whether the field is a positional argument;
whether its value is given as text, which the model parses; and a former name, which stays as a hidden option."""


def option_name(field: str) -> str:
    """Return the option of a field: `top_k` -> `--top-k`."""
    return f"--{field.replace('_', '-')}"


def options_of(config: type[BaseModel], *, leave_out: frozenset[str] = frozenset()) -> list[inspect.Parameter]:
    """Return the fields of a model as keyword parameters that Typer turns into options, in the order of the model.

    A field's `description` is the help text, and its default the option's. A boolean is a switch, with a second one to
    turn off what is on by default. A list may be given repeatedly. Numbers have the bounds of the field. Former names
    follow as hidden options.
    """
    fields = {name: field for name, field in config.model_fields.items() if name not in leave_out}
    hidden = [_parameter(old, fields[name], hidden=True) for old, name in old_names(config).items() if name in fields]
    return [_parameter(name, field) for name, field in fields.items()] + hidden


def old_names(config: type[BaseModel]) -> dict[str, str]:
    """Return the former names of fields, with the fields that they are now."""
    return {
        str(_extra(field)[OLD_NAME]): name for name, field in config.model_fields.items() if OLD_NAME in _extra(field)
    }


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _parameter(name: str, field: FieldInfo, *, hidden: bool = False) -> inspect.Parameter:
    kind, is_optional = _without_none(field.annotation)
    extra = _extra(field)
    settings: dict[str, Any] = {"help": field.description, "metavar": extra.get(METAVAR)}
    default = None if field.default is PydanticUndefined else field.default
    if extra.get(TEXT):
        kind = str
        default = ",".join(f"{each:g}" for each in default) if isinstance(default, tuple) else default
    elif get_origin(kind) in (list, tuple):
        kind, default, is_optional = GenericAlias(list, get_args(kind)[:1]), None, True
    elif kind is bool:
        settings = {"help": field.description}
    elif kind in (int, float):
        settings |= _bounds(field, kind)
    elif get_origin(kind) is not Literal and isinstance(default, int | float):
        default = str(default)
    if hidden:
        default, is_optional = None, True
        settings["hidden"] = True
    value: Any = kind | None if is_optional else kind
    option = option_name(name) + f"/--no-{name.replace('_', '-')}" * (kind is bool and default is True)
    declared = typer.Argument(**settings) if extra.get(ARGUMENT) else typer.Option(option, **settings)
    annotation = Annotated[value, declared]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Return the type of a value, and whether it may be None. Of a union of others, text: the model parses it."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, UnionType):
        return annotation, False
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    is_optional = len(kinds) < len(get_args(annotation))
    return (kinds[0] if len(kinds) == 1 else str), is_optional


def _bounds(field: FieldInfo, kind: type) -> dict[str, Any]:
    """Return `min` and `max` of a field; an open bound of a real number is left to the model."""
    found: dict[str, Any] = {}
    step = 1 if kind is int else None
    for bound in field.metadata:
        if isinstance(bound, Ge):
            found["min"] = bound.ge
        elif isinstance(bound, Le):
            found["max"] = bound.le
        elif isinstance(bound, Gt) and step:
            found["min"] = bound.gt + step  # type: ignore[operator]
        elif isinstance(bound, Lt) and step:
            found["max"] = bound.lt - step  # type: ignore[operator]
    return found


def parse_options(config: type[M], given: Mapping[str, Any]) -> M:
    """Make the model of the values of options; None is left out where it is not the field's own default.

    Raises:
        InputError: A value does not fit; names the field.
    """
    values = {name: value for name, value in given.items() if value is not None}
    for old, name in old_names(config).items():
        if old in values:
            warnings.warn(f"{option_name(old)} is now called {option_name(name)}", FutureWarning, stacklevel=2)
            values[name] = values.pop(old)
    return validate(config, values)
