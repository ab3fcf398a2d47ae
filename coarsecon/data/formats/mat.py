"""Read untrusted MATLAB files (format 5) in plain Python: numbers, text, cells and structs.

SciPy's reader expects trusted files: a few changed bytes crash the interpreter.
"""

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from coarsecon.errors import InputError

MAX_FILE_BYTES = 2**25
"""Bound on a file and on its decompressed size: four times the largest published label file."""
MAX_DEPTH = 3
HEADER = 128

MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, CHAR = 1, 2, 4
NUMERIC = range(6, 16)
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
TEXTS = {1: "latin1", 2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}


class Element(NamedTuple):
    """A data element of a file: its type, and its content without padding."""

    kind: int
    data: memoryview


def load_mat(file: Path, *names: str, fields: Collection[str] = (), max_bytes: int = MAX_FILE_BYTES) -> list[Any]:
    """Return the variables `names`: numbers as an array [N] (column-major), text as str.

    A cell array becomes a list of its values; a struct array a dict with such a list for each of its `fields`.
    Neither the file nor its decompressed variables may exceed `max_bytes`.

    Raises:
        InputError: The file or a variable is missing, or the file is not of MATLAB's format 5, broken, or too large.
    """
    try:
        if file.stat().st_size > max_bytes:
            raise InputError(
                file, f"{file.stat().st_size} bytes, larger than any label file", "download the file again"
            )
        found = dict(_variables(file.read_bytes(), fields, max_bytes))
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})") from error
    except (ValueError, struct.error, zlib.error) as error:
        raise InputError(
            file, f"not a complete MATLAB file of format 5 ({error})", "download the file again"
        ) from error
    if missing := [name for name in names if name not in found]:
        raise InputError(file, f"no variable {', '.join(missing)}", "download the file again")
    return [found[name] for name in names]


def integers(values: Any, where: str) -> np.ndarray:
    """Return the integers in an array, or in a list of arrays of one number, as int64 [N].

    Args:
        values: A variable or field of `load_mat`.
        where: Its name in errors.

    Raises:
        InputError: It contains something else.
    """
    try:
        numbers = np.concatenate([np.empty(0), *values]) if isinstance(values, list) else np.asarray(values, float)
        if len(numbers) == len(values) and (np.trunc(numbers) == numbers).all() and (abs(numbers) < 2**53).all():
            return numbers.astype(np.int64)
    except (ValueError, TypeError):  # texts, or lists of lists
        pass
    raise InputError(where, "not all are integers", "download the file again")


def _variables(content: bytes, fields: Collection[str], max_bytes: int) -> Iterator[tuple[str, Any]]:
    order = {b"IM": "<", b"MI": ">"}.get(content[126:HEADER])
    if order is None or content.startswith(b"MATLAB 7.3"):
        raise ValueError("it begins differently")
    reader = _Reader(order, fields)
    for element in reader.elements(memoryview(content)[HEADER:]):
        if element.kind == COMPRESSED:
            inflater = zlib.decompressobj()
            inflated = inflater.decompress(element.data, max_bytes)
            if not inflater.eof:
                raise ValueError("a compressed part is truncated or too large")
            element = next(reader.elements(memoryview(inflated)), element)
        if element.kind == MATRIX:
            yield reader.matrix(element.data)


@dataclass(frozen=True)
class _Reader:
    """Reads data elements of one byte order; of structs only the named fields."""

    order: str
    fields: Collection[str]

    def elements(self, data: memoryview) -> Iterator[Element]:
        """Yield the elements in `data`."""
        tag = struct.Struct(f"{self.order}II")
        place, length = 0, len(data)
        while place < length:
            kind, size = tag.unpack_from(data, place)
            if kind > 0xFFFF:  # small element: type and size in one word, then the data
                kind, size, start, end = kind & 0xFFFF, kind >> 16, place + 4, place + 8
            else:
                start = place + 8
                end = start + size + (-size % 8 if kind != COMPRESSED else 0)
            if start + size > min(end, length):
                raise ValueError("an element exceeds its parent")
            yield Element(kind, data[start : start + size])
            place = end

    def matrix(self, data: memoryview, depth: int = 0) -> tuple[str, Any]:
        """Return the name and value of an array."""
        if len(data) == 0:
            return "", np.empty(0)
        if depth > MAX_DEPTH:
            raise ValueError("its cells are nested too deep")
        parts = self.elements(data)
        flags, dimensions, name = (_next(parts) for _ in range(3))
        kind = struct.unpack_from(f"{self.order}I", flags.data)[0] & 0xFF
        count = math.prod(self.numbers(dimensions).tolist())
        if kind == STRUCT:
            value: Any = self.structs(parts, count, depth)
        elif kind == CELL:
            value = [self.inner(_next(parts), depth) for _ in range(count)]
        elif kind in NUMERIC:
            value = self.numbers(_next(parts))
        elif kind == CHAR:
            value = self.text(next(parts, Element(1, memoryview(b""))))
        else:
            raise ValueError(f"arrays of class {kind} are not read")
        if kind not in (STRUCT, CELL) and len(value) != count:
            raise ValueError(f"{len(value)} values in an array of {count}")
        return bytes(name.data).decode("latin1"), value

    def structs(self, parts: Iterator[Element], count: int, depth: int) -> dict[str, list[Any]]:
        """Return the values of the requested fields."""
        (length,) = self.numbers(_next(parts)).tolist()
        packed = bytes(_next(parts).data)
        if length < 1:
            raise ValueError("fields without a name")
        fields = [packed[i : i + length].split(b"\0")[0].decode("latin1") for i in range(0, len(packed), length)]
        values: dict[str, list[Any]] = {field: [] for field in fields if field in self.fields}
        for _ in range(count if fields else 0):
            for field in fields:
                element = _next(parts)
                if field in values:
                    values[field].append(self.inner(element, depth))
        return values

    def inner(self, element: Element, depth: int) -> Any:
        """Return the value in a cell or field."""
        if element.kind != MATRIX:
            raise ValueError("a cell or field is not an array")
        return self.matrix(element.data, depth + 1)[1]

    def numbers(self, element: Element) -> np.ndarray:
        """Return a flat array."""
        if element.kind not in NUMBERS:
            raise ValueError(f"numbers of type {element.kind} are not read")
        return np.frombuffer(element.data, f"{self.order}{NUMBERS[element.kind]}")

    def text(self, element: Element) -> str:
        """Return text in any of the encodings."""
        if element.kind not in TEXTS:
            raise ValueError(f"text of type {element.kind} is not read")
        encoding = TEXTS[element.kind]
        if encoding in ("utf-16", "utf-32"):
            encoding += "-le" if self.order == "<" else "-be"
        return bytes(element.data).decode(encoding)


def _next(parts: Iterator[Element]) -> Element:
    element = next(parts, None)
    if element is None:
        raise ValueError("an array is truncated")
    return element
