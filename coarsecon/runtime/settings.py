"""Strict settings, checked with one-line errors that name the setting."""

import difflib
from collections.abc import Sequence
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
        first, *others = [_mistake(model, mistake, section) for mistake in _one_per_field(model, error.errors())[:2]]
    if not others:
        raise first
    raise InputError(first.subject, "; ".join(filter(None, [first.problem, first.hint, str(others[0])])))


def _one_per_field(model: type[BaseModel], mistakes: Sequence[Any]) -> list[Any]:
    """Merge the mistakes of a field for which several types are allowed and none fits."""
    keys, found = set(_all_keys(model, "")), dict[Any, Any]()
    for mistake in mistakes:
        mistake["msg"] = mistake["msg"].partition(", unable to parse")[0]
        *parent, last = mistake["loc"] or [""]
        is_member = ".".join(map(str, parent)) in keys and ".".join(map(str, mistake["loc"])) not in keys
        if is_member and isinstance(last, str) and mistake["type"] != "extra_forbidden":
            mistake["loc"] = tuple(parent)
        if mistake["loc"] in found:
            found[mistake["loc"]]["msg"] += f", or {mistake['msg'].removeprefix('Input should be ')}"
        else:
            found[mistake["loc"]] = mistake
    return list(found.values())


def _mistake(model: type[BaseModel], mistake: Any, section: str) -> InputError:
    parts = [str(part) for part in mistake["loc"]]
    key = ".".join([section] * bool(section) + parts)
    if mistake["type"] != "extra_forbidden":
        message = mistake["msg"].removeprefix("Value error, ")
        is_missing = mistake["type"] == "missing"
        shown = "" if not key or is_missing or str(mistake["input"]) in message else f" (got {mistake['input']!r})"
        return InputError(key or message, f"{message[0].lower()}{message[1:]}{shown}" if key else "")
    names = _all_keys(model, section)
    siblings = {name.rpartition(".")[2]: name for name in names if name.rpartition(".")[0] == key.rpartition(".")[0]}
    # Compared without its section, which all of them have in common: it would make any two similar.
    near = [siblings[name] for name in difflib.get_close_matches(parts[-1], siblings, n=1)]
    near = near or [name for name in names if name.rpartition(".")[2] == parts[-1]]
    hint = f"did you mean {near[0]}?" if near else f"known settings: {', '.join(siblings.values()) or 'none'}"
    return InputError(key, "is not a setting", hint)


def _all_keys(model: type[BaseModel], section: str) -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        key = f"{section}.{name}" if section else name
        keys.append(key)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _all_keys(field.annotation, key)
    return keys
