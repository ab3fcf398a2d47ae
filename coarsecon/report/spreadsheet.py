"""Tables for people to open in a spreadsheet: CSV whose cells stay text there."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

from coarsecon.data.formats.tables import FORMULA


def csv_file(text: str) -> bytes:
    """A table as the bytes of a file. Beyond ASCII it begins with UTF-8's mark: spreadsheets that find none read the
    machine's old encoding, and write back `Ã„pfel` for `Äpfel`."""
    return text.encode("utf-8" if text.isascii() else "utf-8-sig")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The table as CSV, as `csv_rows` writes it, under the names of its columns."""
    return csv_rows([columns]) + csv_rows(rows)


def csv_rows(rows: Iterable[Sequence[object]]) -> str:
    """Rows of CSV. Text that would be taken for a formula gets an apostrophe in front; numbers stay numbers."""
    text = StringIO()
    csv.writer(text).writerows([_safe(cell) for cell in row] for row in rows)
    return text.getvalue()


def _safe(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
