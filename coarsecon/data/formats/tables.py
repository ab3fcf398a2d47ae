"""Read tables of users: CSV, as spreadsheets and pandas save it, and Parquet."""

import csv
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from coarsecon.errors import InputError
from coarsecon.runtime.extras import require_extra

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets run a cell that begins like this as a formula; `coarsecon` writes an apostrophe before it."""
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
"""Separators of cells; spreadsheets write semicolons in locales with a decimal comma."""
SEPARATOR_LINE = re.compile(r'\ufeff?"?sep=(?P<separator>[^\r\n"])"?(?P<others>[,;\t|]*)(\r\n|\r|\n|\Z)', re.IGNORECASE)
"""The line `sep=;` that Excel understands; once saved again, it is an ordinary row with other separators after it."""
INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""Characters without width, which text from web pages begins or ends with."""
END = "\uffff"
"""An extra last line: inside a cell, it shows that a quoted text does not end."""
HEAD = 2**16
"""Number of characters that contain the first line."""
WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
SAVE_AS = "save it as CSV in UTF-8"


class Table(NamedTuple):
    """A table as text.

    Attributes:
        path: The file.
        columns: Names of the columns.
        rows: Yields the place and the cells by column of each row that is not empty; missing values are "".
        notes: Notes for the user on how the table was read.
    """

    path: Path
    columns: list[str]
    rows: Iterator[tuple[str, dict[str, str]]]
    notes: list[str]


def read_table(path: Path) -> Table:
    """Open a CSV or Parquet table.

    CSV is UTF-8, UTF-16 with its byte order mark, or else Windows-1252, which Excel writes; its separator is that of a
    line `sep=;`, or the most frequent one of the first line. Empty rows and columns, and a first column without
    a name (an index), are left out.

    Raises:
        InputError: The table is missing or cannot be read, or two columns have the same name. Errors in a row are
            raised when `rows` arrives there.
    """
    return _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path)


def read_rows(path: Path, columns: set[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of `read_table(path)`, which must have `columns`.

    Raises:
        InputError: As `read_table`, or a column is missing.
    """
    table = read_table(path)
    if missing := columns - set(table.columns):
        raise InputError(path, f"no column {' or '.join(sorted(missing))}", f"it has {', '.join(table.columns)}")
    yield from table.rows


def clean(cell: Any) -> str:
    """Return the text of a cell without the space around it; "" for None and for a float that is not a number."""
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():  # pandas makes floats of integers if one is missing
        cell = int(cell)
    text = str(cell).strip()
    while text != (text := text.strip(INVISIBLE).strip()):
        pass
    return text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA) else text


def _read_csv(path: Path) -> Table:
    text, notes = _decode(path)
    declared = SEPARATOR_LINE.match(text)
    body = text[declared.end() :] if declared else text
    separator = declared["separator"] if declared and not declared["others"] else _separator(body)
    lines = _lines(path, body, separator, first=1 if declared else 0)
    _, head = next(lines, (0, []))
    names = [clean(name) for name in head]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise InputError(path, "the table is empty", "expected a first line that names its columns")
    named = [name for name in names if name]
    if twice := next((name for name in named if named.count(name) > 1), None):
        raise InputError(path, f"the column {twice!r} occurs twice", "rename or remove one")
    return Table(path, named, _csv_rows(path, names, lines, separator), notes)


def _csv_rows(
    path: Path, names: list[str], lines: Iterator[tuple[int, list[str]]], separator: str
) -> Iterator[tuple[str, dict[str, str]]]:
    for number, cells in lines:
        texts = [clean(cell) for cell in cells] + [""] * (len(names) - len(cells))
        strays = [text for i, text in enumerate(texts) if text and i and (i >= len(names) or not names[i])]
        if strays:
            called = SEPARATORS.get(separator, repr(separator))
            raise InputError(
                f"{path}, line {number}",
                "more cells than columns",
                f"quote texts that hold a {called}, or name the column of {strays[0][:40]!r} in the first line",
            )
        if any(texts):
            yield f"{path}, line {number}", {name: text for name, text in zip(names, texts, strict=False) if name}


def _lines(path: Path, body: str, separator: str, *, first: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of the lines that are not empty, with line numbers; any of the three line endings."""
    text = StringIO(f"{body}\n{END}", newline="")
    reader = csv.reader(text, skipinitialspace=True, delimiter=separator)
    start = 1
    try:
        for cells in reader:
            if cells == [END]:
                return
            if any(END in cell for cell in cells):
                raise InputError(f"{path}, line {start + first}", "unclosed quotation mark")
            if any(cell.strip() for cell in cells):
                yield reader.line_num + first, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num + first}", f"not a readable CSV table ({error})", SAVE_AS
        ) from error


def _separator(body: str) -> str:
    """Return the most frequent separator outside quotes of the first line with more than separators."""
    lines = (re.sub(r'"[^"]*"', "x", line) for line in body[:HEAD].splitlines())
    head = next((line for line in lines if line.strip("".join(SEPARATORS) + " ")), "")
    return max(SEPARATORS, key=head.count)


def _decode(path: Path) -> tuple[str, list[str]]:
    """Return the text of a file, and notes on its encoding."""
    if path.suffix.lower() in WORKBOOKS:
        raise InputError(path, "a workbook of a spreadsheet program", f"{SAVE_AS} and pass that file")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(path, "no such file", "name a CSV or Parquet table") from None
    except IsADirectoryError:
        raise InputError(path, "a folder", "name a CSV or Parquet table; a folder of images is a source") from None
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})") from error
    is_utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    notes = []
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeError as error:
        loose = "" if is_utf16 else content.decode("utf-8", "surrogateescape")
        if is_utf16 or any(ord(letter) > 127 and not 0xDC80 <= ord(letter) <= 0xDCFF for letter in loose):
            raise InputError(path, f"not a table in UTF-8 or UTF-16 ({error})", SAVE_AS) from error
        text = _windows(path, content)
        sample = next(line.strip() for line in text.splitlines() if not line.isascii())
        notes.append(f"{path}: not UTF-8, read as Windows-1252 ({sample[:60]!r}); if letters are wrong, {SAVE_AS}")
    if "\0" in text:
        raise InputError(path, "not a table in UTF-8 or UTF-16 (it holds null characters)", SAVE_AS)
    return text, notes


def _windows(path: Path, content: bytes) -> str:
    try:
        return content.decode("cp1252")
    except UnicodeError as error:
        raise InputError(path, f"not a table in UTF-8 or UTF-16, nor in Windows-1252 ({error})", SAVE_AS) from error


def _read_parquet(path: Path) -> Table:
    pyarrow = require_extra("parquet", "pyarrow", "pyarrow.parquet", needed_by=path, instead="save it as CSV")
    try:
        table = pyarrow.parquet.read_table(path)
        rows = table.to_pylist()
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)  # pyarrow describes some errors in many lines
        raise InputError(path, f"not a readable Parquet table ({why})") from error
    return Table(path, [clean(name) for name in table.column_names], _parquet_rows(path, rows), [])


def _parquet_rows(path: Path, rows: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, str]]]:
    for number, row in enumerate(rows, 1):
        texts = {clean(name): clean(value) for name, value in row.items()}
        if any(texts.values()):
            yield f"{path}, row {number}", texts
