"""Labels as people and programs write them: missing values are no classes, and classes may look alike."""

import re
from collections import Counter
from collections.abc import Sequence

from coarsecon.data.formats.names import canonical

MISSING = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"}
    | {"NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""Texts that mean a missing value: the default `na_values` of `pandas.read_csv`, besides empty cells."""


def is_missing(cell: str) -> bool:
    """Return whether a cell holds nothing, or a text that means so."""
    return not cell or cell in MISSING


class LabelColumns:
    """Reads cells of label columns, and counts the missing values of each.

    Args:
        keep_na: Take the texts of `MISSING` for names of classes; only empty cells are missing then.
    """

    def __init__(self, *, keep_na: bool = False) -> None:
        self._keep_na = keep_na
        self._cells: Counter[str] = Counter()
        self._missing: dict[str, Counter[str]] = {}

    def label(self, cell: str) -> str:
        """Return the label in a cell, "" where it is missing; spaces and letters in their usual form."""
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
        """Say in a sentence per column how many of its labels are missing, and as what."""
        return [self._note(column, markers) for column, markers in self._missing.items()]

    def _note(self, column: str, markers: Counter[str]) -> str:
        forms = ", ".join(f"{count:,} {marker or 'empty'}" for marker, count in markers.most_common())
        note = f"column {column}: {markers.total():,} of {self._cells[column]:,} labels are missing and stay unknown"
        note += f" ({forms})"
        names = sorted(marker for marker in markers if marker)
        return note + (f"; pass --keep-na if {' or '.join(names)} is the name of a class" if names else "")


def look_alikes(names: Sequence[str], *, limit: int = 3) -> list[str]:
    """Return groups of class names that differ only in case, spaces, hyphens or in how a number is written."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_spelling(name), []).append(name)
    alike = [" and ".join(map(repr, group)) for group in groups.values() if len(group) > 1]
    return alike[:limit]


def _spelling(name: str) -> str:
    number = re.fullmatch(r"0*(\d+)(\.0*)?", name)
    return number[1] if number else re.sub(r"[\s_-]+", " ", name.casefold()).strip()
