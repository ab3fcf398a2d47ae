"""Fit a table into a terminal: names are wrapped, columns go on in a further table, and numbers are never cut."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len

NUMBER = re.compile(r"[\d\s.,:;%±+\-−–—/×()e]*|nan|inf|n/a")
"""Cells that must not be cut or wrapped."""
FRAME = 3
"""Characters between two columns; the frame of a table takes one more."""
NARROWEST = 20
"""Characters a column of names keeps; narrower ones are hard to read."""
HEADING = 12
"""Characters of a word in a heading over numbers; longer ones, such as names of label levels, are broken."""


class Column(NamedTuple):
    """A column as it is drawn: its heading with line breaks, its cells, its width and whether it holds numbers."""

    heading: str
    cells: list[str]
    width: int
    is_number: bool


def fit(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[list[Column]]:
    """Divide a table into tables that fit into `width` characters.

    Each has the first column, whose texts are wrapped where they are long. Text columns share what numbers leave.

    Args:
        columns: Headings.
        rows: Cells, one text for each heading.
        width: Characters in a line.

    Returns:
        The columns of each table, one or more.
    """
    texts = [[row[place] for row in rows] for place in range(len(columns))]
    drawn = [_column(heading, cells) for heading, cells in zip(columns, texts, strict=True)]
    if _total(drawn) <= width:
        return [drawn]
    drawn = [drawn[0], *(_narrowed(column) for column in drawn[1:])]
    parts: list[list[Column]] = []
    for column in drawn[1:]:
        if parts and _least([*parts[-1], column]) <= width:
            parts[-1].append(column)
        else:
            parts.append([drawn[0], column])
    return [_shared(part, width) for part in parts or [drawn]]


def _column(heading: str, cells: list[str]) -> Column:
    width = max(map(_longest_line, [heading, *cells]))
    return Column(heading, cells, width, all(NUMBER.fullmatch(cell.lower()) for cell in cells))


def _narrowed(column: Column) -> Column:
    """A column of numbers with its heading broken at blanks, and within long words."""
    if not column.is_number:
        return column
    words = [word[i : i + HEADING] for word in column.heading.split() for i in range(0, len(word), HEADING)]
    heading = "\n".join(words)
    return column._replace(heading=heading, width=max(map(_longest_line, [heading, *column.cells])))


def _shared(part: list[Column], width: int) -> list[Column]:
    """The columns with the widths that they get: the widest of those with text give way first."""
    widths = [column.width for column in part]
    for _ in range(_total(part) - width):
        place = max(range(len(part)), key=lambda i: (not part[i].is_number) * widths[i])
        widths[place] = max(1, widths[place] - 1)
    return [column._replace(width=each) for column, each in zip(part, widths, strict=True)]


def _least(part: list[Column]) -> int:
    """Characters that a table takes when its text columns are as narrow as they may be."""
    return _total([each if each.is_number else each._replace(width=min(each.width, NARROWEST)) for each in part])


def _total(part: Sequence[Column]) -> int:
    return sum(column.width + FRAME for column in part) + 1


def _longest_line(text: str) -> int:
    return max(map(cell_len, text.splitlines() or [""]))
