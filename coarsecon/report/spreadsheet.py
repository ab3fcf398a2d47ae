"""CSV tables that are safe to open in a spreadsheet."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

from coarsecon.data.formats.tables import FORMULA


def csv_file(text: str) -> bytes:
    """Encode a table, beyond ASCII with a byte order mark, without which spreadsheets assume an old encoding."""
    return text.encode("utf-8" if text.isascii() else "utf-8-sig")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]], *, separator: str = ",") -> str:
    """Write a table as CSV under the names of its columns; see `csv_rows`."""
    return csv_rows([columns], separator=separator) + csv_rows(rows, separator=separator)


def csv_rows(rows: Iterable[Sequence[object]], *, separator: str = ",") -> str:
    """Write rows of CSV. Text that would be read as a formula gets an apostrophe in front; numbers stay numbers."""
    text = StringIO()
    csv.writer(text, delimiter=separator).writerows([_safe(cell) for cell in row] for row in rows)
    return text.getvalue()


def _safe(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
