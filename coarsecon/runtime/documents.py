"""Read untrusted JSON and YAML: bounded in size and depth, with one-line errors."""

import json
import math
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from coarsecon.errors import InputError

MAX_BYTES = 256 * 2**20
MAX_YAML_BYTES = 2**20
MAX_DEPTH = 64
MAX_YAML_VALUES = 20_000
"""Maximum number of values in a YAML document, an alias counted each time it is used."""

MAX_INTEGER = 2**63
"""Bound of integers: larger ones cannot become floats or tensors."""


def read_json(path: Path, *, remedy: str = "restore it from a copy, or delete it", max_bytes: int = MAX_BYTES) -> Any:
    """Read the value in a JSON file.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It cannot be read, is not JSON, is nested too deep, or has an integer beyond 64 bits.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise InputError(path, "not a regular file", remedy)
        if state.st_size > max_bytes:
            raise InputError(path, f"larger than {max_bytes // 2**20} MiB", remedy)
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})") from None
    return parse_json(content, str(path), remedy=remedy)


def read_json_object(path: Path, *, remedy: str = "restore it from a copy, or delete it") -> dict[str, Any]:
    """Read the object in a JSON file; raises as `read_json` does, and for any other value."""
    value = read_json(path, remedy=remedy)
    if not isinstance(value, dict):
        raise InputError(path, "not a JSON object", remedy)
    return value


def parse_json(content: bytes | str, origin: str, *, remedy: str) -> Any:
    """Parse JSON; `origin` is the subject of errors. Raises InputError as `read_json` does."""
    try:
        value = json.loads(content)
    except UnicodeDecodeError:
        raise InputError(origin, "not valid JSON (not UTF-8 text)", remedy) from None
    except ValueError as error:
        raise InputError(origin, f"not valid JSON ({error})", remedy) from None
    except RecursionError:
        raise InputError(origin, "nested too deep", remedy) from None
    _check_values(value, origin, remedy)
    return value


def _check_values(value: Any, origin: str, remedy: str) -> None:
    """Refuse values that code walking the tree cannot handle."""
    layer: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        layer = [each for container in layer for each in _children(container, origin, remedy)]
        if not layer:
            return
    raise InputError(origin, f"nested deeper than {MAX_DEPTH} levels", remedy)


def _children(value: Any, origin: str, remedy: str) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list):
        return value
    if isinstance(value, int) and abs(value) >= MAX_INTEGER:
        raise InputError(origin, "has an integer of more than 64 bits", remedy)
    return ()


class _Loader(yaml.SafeLoader):
    """YAML's safe loader; also reads 1e-3 as a number, as YAML 1.2 does."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$"),
    list("-+0123456789."),
)
# Integers are tried first, so that `3` stays an integer.
_Loader.yaml_implicit_resolvers = {
    first: sorted(resolvers, key=lambda pair: pair[0] != "tag:yaml.org,2002:int")
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str, origin: str) -> Any:
    """Parse YAML; `origin` is the subject of errors.

    Raises:
        InputError: It is malformed, too large or nested too deep, or its aliases expand to too many values.
    """
    if len(text) > MAX_YAML_BYTES:
        raise InputError(origin, f"larger than {MAX_YAML_BYTES // 2**20} MiB, too large for settings")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_nodes(node, origin)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise InputError(f"{origin}{line}", f"not valid YAML ({getattr(error, 'problem', error)})") from None
    except RecursionError:
        raise InputError(origin, "not valid YAML (nested too deep)") from None
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
    ) as error:  # from a value unlike its tag
        raise InputError(origin, f"not valid YAML ({error})") from None


def _check_nodes(root: yaml.Node, origin: str) -> None:
    """Refuse a document that expands to too many values, or contains itself."""
    pending, count = [(root, 1)], 0
    while pending:
        node, depth = pending.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise InputError(origin, f"not valid YAML (nested deeper than {MAX_DEPTH} levels, or contains itself)")
        if count + len(pending) > MAX_YAML_VALUES:
            raise InputError(origin, f"not valid YAML (aliases expand to more than {MAX_YAML_VALUES:,} values)")
        if isinstance(node, yaml.MappingNode):
            pending += [(each, depth + 1) for pair in node.value for each in pair]
        elif isinstance(node, yaml.SequenceNode):
            pending += [(each, depth + 1) for each in node.value]


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
