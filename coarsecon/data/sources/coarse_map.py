"""Derive coarse classes from fine ones by a table of the user."""

from pathlib import Path

from coarsecon.data.formats.columns import ColumnChoice
from coarsecon.data.formats.missing import LabelColumns
from coarsecon.data.formats.tables import read_table
from coarsecon.errors import InputError


def read_coarse_map(table: Path, *, keep_na: bool = False) -> dict[str, str]:
    """Read fine class -> coarse class from a table with a column of each.

    Raises:
        InputError: As `read_table`, or a column or a value is missing, or a fine class has two coarse ones.
    """
    opened = read_table(table)
    choice = ColumnChoice(table, opened.columns)
    fine_column, coarse_column = choice.choose("fine"), choice.choose("coarse")
    if not (fine_column and coarse_column):
        raise InputError(table, "needs the columns fine and coarse", f"it has {', '.join(opened.columns)}")
    labels = LabelColumns(keep_na=keep_na)
    found: dict[str, str] = {}
    for where, row in opened.rows:
        fine, coarse = labels.read("fine", row[fine_column]), labels.read("coarse", row[coarse_column])
        if not (fine and coarse):
            raise InputError(where, "fine and coarse must not be empty")
        if found.setdefault(fine, coarse) != coarse:
            raise InputError(where, f"{fine} is {coarse} here and {found[fine]} before")
    return found


def check_mapped(fine: set[str], coarse: dict[str, str], table: Path) -> None:
    """Raise InputError that names the fine classes without a coarse one."""
    if missing := sorted(fine - coarse.keys()):
        shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        raise InputError(table, f"no coarse class for {len(missing)} of {len(fine)} fine classes: {shown}")
