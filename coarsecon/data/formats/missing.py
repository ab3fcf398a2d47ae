"""Read labels of users: recognize missing values, and find classes whose names differ only in spelling."""

import re
from collections import Counter
from collections.abc import Sequence

from coarsecon.data.formats.names import canonical

MISSING = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"}
    | {"NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""Texts that mean a missing value: the default `na_values` of `pandas.read_csv`, in addition to empty cells."""


def is_missing(cell: str) -> bool:
    """Return whether a cell is empty, or contains a text that means a missing value."""
    return not cell or cell in MISSING


class LabelColumns:
    """Reads cells of label columns, and counts the missing values of each.

    Args:
        keep_na: Read the texts of `MISSING` as class names; only empty cells are missing then.
    """

    def __init__(self, *, keep_na: bool = False) -> None:
        self._keep_na = keep_na
        self._cells: Counter[str] = Counter()
        self._missing: dict[str, Counter[str]] = {}

    def label(self, cell: str) -> str:
        """Return the label in a cell, "" if it is missing; with single spaces and in Unicode form NFC."""
        label = " ".join(canonical(cell).split())
        return "" if is_missing(label) and not self._keep_na else label

    def read(self, column: str, cell: str) -> str:
        """Return the label in a cell of a column, and count it if it is missing."""
        self._cells[column] += 1
        label = self.label(cell)
        if not label:
            self._missing.setdefault(column, Counter())[cell] += 1
        return label

    def notes(self) -> list[str]:
        """Return a sentence per column with the number and form of its missing labels."""
        return [self._note(column, markers) for column, markers in self._missing.items()]

    def _note(self, column: str, markers: Counter[str]) -> str:
        forms = ", ".join(f"{count:,} {marker or 'empty'}" for marker, count in markers.most_common())
        note = f"column {column}: {markers.total():,} of {self._cells[column]:,} labels are missing and stay unknown"
        note += f" ({forms})"
        names = sorted(marker for marker in markers if marker)
        return note + (f"; set keep_na if {' or '.join(names)} is a class name" if names else "")


def similar_names(names: Sequence[str]) -> list[str]:
    """Return up to three groups of class names that differ only in case, spaces, hyphens or number format."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_spelling(name), []).append(name)
    groups_found = [" and ".join(map(repr, group)) for group in groups.values() if len(group) > 1]
    return groups_found[:3]


def _spelling(name: str) -> str:
    number = re.fullmatch(r"0*(\d+)(\.0*)?", name)
    return number[1] if number else re.sub(r"[\s_-]+", " ", name.casefold()).strip()
