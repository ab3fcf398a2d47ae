"""Table of neighbors that a person marked as wrong, stored with the results of the run."""

import csv
import threading
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from coarsecon.errors import InputError
from coarsecon.report.spreadsheet import csv_file, csv_rows, csv_text
from coarsecon.runtime.files import atomic_write


class Mark(NamedTuple):
    """Row of the table; its fields are the columns. Unknown classes are empty.

    `query_id` is the SHA-256 of an uploaded image, or SPLIT:NUMBER for an image of the dataset.
    """

    time: str
    query: str
    query_id: str
    query_coarse: str
    query_fine: str
    split: str
    neighbor: int
    name: str
    coarse: str
    fine: str
    cosine: float


MOVE = "move it to another folder"
NAME = Mark._fields.index("name")
KEY = tuple(Mark._fields.index(name) for name in ("query_id", "split", "neighbor"))
COLUMNS = [name.replace("neighbor", "neighbour") for name in Mark._fields]  # the spelling in existing files


class Marks:
    """The table in `file`, read at each access, so that it may be edited meanwhile.

    Each method raises InputError if the file exists but is not such a table.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()

    def of(self, query_id: str, split: str, names: Sequence[str] | None = None) -> set[int]:
        """Return the numbers of the neighbors marked for a query.

        With the `names` of the split's images, only marks of images that still have their name: after the dataset is
        prepared again, a number may mean another image.
        """
        marked = {int(row[KEY[2]]): row[NAME] for row in self._table()[1:] if _key(row)[:2] == (query_id, split)}
        if names is None:
            return set(marked)
        return {
            number
            for number, name in marked.items()
            if number < len(names) and name in (names[number], f"'{names[number]}")
        }

    def add(self, mark: Mark) -> None:
        """Append a row, unless the neighbor is already marked for this query."""
        with self._lock:
            if _key([str(field) for field in mark]) in map(_key, self._table()[1:]):
                return
            text = self._text()
            if text and not text.endswith("\n"):
                text += "\r\n"
            row = [round(field, 6) if isinstance(field, float) else field for field in mark]
            atomic_write(self.file, csv_file((text or csv_text(COLUMNS, [])) + csv_rows([row])))

    def remove(self, query_id: str, split: str, neighbor: int) -> None:
        """Remove the row of a neighbor."""
        with self._lock:
            head, *rows = self._table()
            kept = [row for row in rows if _key(row) != (query_id, split, str(neighbor))]
            text = StringIO()
            csv.writer(text).writerows([head, *kept])  # cells are safe since they were first written
            atomic_write(self.file, csv_file(text.getvalue()))

    def __len__(self) -> int:
        return len(self._table()) - 1

    def _text(self) -> str:
        try:
            return self.file.read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            raise InputError(self.file, f"cannot be read ({error})", MOVE) from error

    def _table(self) -> list[list[str]]:
        """Return the header, with columns that others may have added, and the rows."""
        try:
            head, *rows = list(csv.reader(StringIO(self._text(), newline=""), strict=True)) or [COLUMNS]
        except csv.Error as error:
            raise InputError(self.file, f"is not a readable CSV table ({error})", MOVE) from error
        rows = [row for row in rows if any(row)]
        whole = all(len(row) >= len(COLUMNS) and row[KEY[-1]].isdecimal() for row in rows)
        if head[: len(COLUMNS)] != COLUMNS or not whole:
            raise InputError(self.file, f"is not a table with the columns {', '.join(COLUMNS)}", MOVE)
        return [head, *rows]


def _key(row: list[str]) -> tuple[str, str, str]:
    query, split, neighbor = (row[place] for place in KEY)
    return query, split, neighbor
