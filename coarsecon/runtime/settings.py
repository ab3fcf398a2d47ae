"""Strict settings, checked with one-line errors that name the setting."""

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from coarsecon.errors import InputError

S = TypeVar("S", bound=BaseModel)


class Settings(BaseModel):
    """Base of every group of settings: unknown keys are refused, nothing is coerced, every number is finite."""

    model_config = ConfigDict(extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)


def validate(model: type[S], values: Any, *, section: str = "") -> S:
    """Validate `values` as a `model`; at most two mistakes are reported, in one line.

    Raises:
        InputError: A key is unknown, with the nearest valid one as the hint, or a value does not fit.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first, *others = [_mistake(model, mistake, section) for mistake in error.errors()[:2]]
    if not others:
        raise first
    raise InputError(first.subject, "; ".join(filter(None, [first.problem, first.hint, str(others[0])])))


def _mistake(model: type[BaseModel], mistake: Any, section: str) -> InputError:
    parts = [str(part) for part in mistake["loc"]]
    key = ".".join([section] * bool(section) + parts)
    if mistake["type"] != "extra_forbidden":
        message = mistake["msg"].removeprefix("Value error, ")
        return InputError(key, f"{message[0].lower()}{message[1:]} (got {mistake['input']!r})")
    names = _all_keys(model, section)
    siblings = {name.rpartition(".")[2]: name for name in names if name.rpartition(".")[0] == key.rpartition(".")[0]}
    # Compared without its section, which all of them have in common: it would make any two similar.
    near = [siblings[name] for name in difflib.get_close_matches(parts[-1], siblings, n=1)]
    near = near or [name for name in names if name.rpartition(".")[2] == parts[-1]]
    hint = f"did you mean {near[0]}?" if near else f"known settings: {', '.join(siblings.values())}"
    return InputError(key, "is not a setting", hint)


def _all_keys(model: type[BaseModel], section: str) -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        key = f"{section}.{name}" if section else name
        keys.append(key)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _all_keys(field.annotation, key)
    return keys
