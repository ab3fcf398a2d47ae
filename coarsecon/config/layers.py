"""Layers of settings: config files, assignments, and their merge."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from coarsecon.config.settings import RunConfig, rename_keys
from coarsecon.errors import InputError
from coarsecon.runtime.documents import MAX_YAML_BYTES, parse_yaml

EXAMPLE = "section.key=value, such as optimizer.lr=0.1"


def read_config_file(path: Path, *, warn: bool = False) -> dict[str, Any]:
    """Read one layer of settings from a YAML file.

    Args:
        path: The file.
        warn: Warn of keys that have other names now; for files that a user edits.

    Raises:
        InputError: The file is missing, is not YAML, or is not a mapping.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_YAML_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(path, f"cannot be read as a config file ({why})") from None
    layer = parse_yaml(text, str(path))
    if not isinstance(layer, dict):
        raise InputError(path, "a config file is a mapping of sections (data, backbone, method, ...)")
    _check_sections(layer, f"{path}: ")
    return rename_keys(layer, warn=warn)


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Parse `["optimizer.lr=0.1", ...]` as one layer of settings; values are YAML.

    Raises:
        InputError: An assignment is not of the form section.key=value.
    """
    layer: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        *sections, last = key.strip().split(".")
        if not equals or not last or not all(sections):
            raise InputError(repr(assignment), f"expected {EXAMPLE}")
        target = layer
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise InputError(repr(assignment), f"{section} has a plain value in an earlier assignment")
        target[last] = parse_yaml(value, key.strip())
    _check_sections(layer)
    return rename_keys(layer, warn=True)


def _check_sections(layer: dict[str, Any], origin: str = "") -> None:
    """Refuse a plain value for a section, which would erase the layers below it."""
    sections = {key for key, field in RunConfig.model_fields.items() if field.default_factory}
    for key, value in layer.items():
        if key in sections and not isinstance(value, Mapping | None):
            raise InputError(f"{origin}{key}", f"is a section of settings (got {value!r})", f"write {EXAMPLE}")


def merge(base: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `layer` over `base`, section by section.

    A layer with another method drops the settings of the former one. A layer with another backbone drops the
    arguments and the stem of the former one, which may not apply to it.
    """
    return _merge(rename_keys(base), rename_keys(layer))


def _merge(base: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in layer.items():
        below = merged.get(key)
        if not (isinstance(value, Mapping) and isinstance(below, Mapping)):
            merged[key] = dict(value) if isinstance(value, Mapping) else value
        elif key == "method" and value.get("name", below.get("name")) != below.get("name"):
            merged[key] = dict(value)
        elif key == "backbone" and _is_another(value.get("name"), below.get("name")):
            merged[key] = _merge({k: v for k, v in below.items() if k not in ("args", "stem")}, value)
        else:
            merged[key] = _merge(below, value)
    return merged


def _is_another(name: Any, before: Any) -> bool:
    """Return True if two timm names are of two architectures, not of one with other weights (resnet18.a1_in1k)."""
    return None not in (name, before) and str(name).partition(".")[0] != str(before).partition(".")[0]


def to_yaml(config: BaseModel) -> str:
    """Dump the settings as YAML, in the order of their declaration."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
