"""Tables that users write: CSV, as spreadsheets save it, and Parquet."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coarsecon.data.names import canonical
from coarsecon.errors import InputError

BEYOND = "\0"
"""Where cells beyond the last column are kept; no column is called so."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs a cell that begins so as a formula; in our own tables an apostrophe stands before it."""
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
"""What spreadsheets put between cells: a semicolon where the comma is the decimal sign."""


def read_rows(table: Path, columns: set[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row as stripped text, by column, with its place in the table; `columns` are those it must have.

    CSV is read as UTF-8, or as UTF-16 where it begins with its mark; its cells are separated by what stands most often
    in its first line: a comma, a semicolon or a tab.

    Raises:
        InputError: the table or a column is missing, a column stands twice, or the table cannot be read.
    """
    read = _read_parquet if table.suffix.lower() in (".parquet", ".pq") else _read_csv
    for where, row in read(table):
        if missing := columns - row.keys():
            raise InputError(f"{table}: no column {' or '.join(sorted(missing))}; it has {', '.join(row)}")
        yield f"{table}, {where}", {key: _text(value) for key, value in row.items() if key}


def _text(cell: Any) -> str:
    text = "" if cell is None else str(cell).strip()
    return text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA) else text


def _read_csv(table: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with table.open("rb") as file:
            is_utf16 = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        with table.open(encoding="utf-16" if is_utf16 else "utf-8-sig", newline="") as lines:
            head = lines.readline()
            separator = max(SEPARATORS, key=head.count)
            lines.seek(0)
            reader = csv.DictReader(lines, skipinitialspace=True, restkey=BEYOND, delimiter=separator)
            names = reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            if len(set(names)) < len(names):
                twice = next(name for name in names if list(names).count(name) > 1)
                raise InputError(f"{table}: the column {twice!r} stands twice; rename or remove one")
            for row in reader:
                if any(cell.strip() for cell in row.pop(BEYOND, ())):
                    raise InputError(
                        f"{table}, line {reader.line_num}: more cells than columns; "
                        f"quote texts that hold a {SEPARATORS[separator]}"
                    )
                yield f"line {reader.line_num}", row
    except FileNotFoundError:
        raise InputError(f"{table}: no such file; it names a CSV or Parquet table") from None
    except IsADirectoryError:
        raise InputError(
            f"{table}: is a folder; name a CSV or Parquet table (folders of images go to --source)"
        ) from None
    except UnicodeError as error:
        raise InputError(f"{table}: not a table in UTF-8 or UTF-16 ({error}); save it as CSV in UTF-8") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"{table}: not a readable CSV table ({error}); save it as CSV in UTF-8") from error


def _read_parquet(table: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise InputError(
            f"{table}: Parquet tables need pyarrow; pip install 'coarsecon[parquet]', or give CSV"
        ) from None
    try:
        rows = parquet.read_table(table).to_pylist()
    except (OSError, ValueError, ArrowException) as error:
        raise InputError(f"{table}: not a readable Parquet table ({error})") from error
    for number, row in enumerate(rows, 1):
        yield f"row {number}", row


def read_coarse_map(table: Path) -> dict[str, str]:
    """Fine class -> coarse class, from a table with the columns fine and coarse.

    Raises:
        InputError: as `read_rows`, or a value is empty, or a fine class has two coarse ones.
    """
    coarse: dict[str, str] = {}
    for where, row in read_rows(table, {"fine", "coarse"}):
        if not (row["fine"] and row["coarse"]):
            raise InputError(f"{where}: fine and coarse must not be empty")
        name, group = canonical(row["fine"]), canonical(row["coarse"])
        if coarse.setdefault(name, group) != group:
            raise InputError(f"{where}: {name} is {group} here and {coarse[name]} before")
    return coarse


def check_mapped(fine: set[str], coarse: dict[str, str], table: Path) -> None:
    """Raise InputError that names the fine classes without a coarse one."""
    if missing := sorted(fine - coarse.keys()):
        told = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        raise InputError(f"{table}: no coarse class for {len(missing)} of {len(fine)} fine classes: {told}")
