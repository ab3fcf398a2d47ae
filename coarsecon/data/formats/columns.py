"""Find the columns of paths and labels in a table: named by the user, or by their usual names."""

import re
from collections.abc import Sequence

from coarsecon.data.formats.names import canonical
from coarsecon.errors import InputError

PICTURES = ("image", "img", "photo", "picture")
CLASSES = (
    "superclass", "supercategory", "parent_class", "parent_category", "main_category", "master_category", "department",
    "family", "genus", "category_name", "category", "class_name", "class", "class_label", "label_name", "label",
    "labels", "target", "category_id", "class_id", "label_id",
)  # fmt: skip
KINDS = (
    "species", "species_name", "subspecies", "subcategory", "subclass", "subtype", "subcat", "sublabel", "sub", "breed",
    "variety", "cultivar", "variant",
)  # fmt: skip
"""Names of columns of fine classes if there are coarse ones, else of the coarse ones."""
USUAL = {
    "path": (
        "path", *(f"{picture}_path" for picture in PICTURES), "file_path", "full_path", "relative_path", "rel_path",
        *(f"{picture}_file_name" for picture in PICTURES), "file_name", "fname",
        *(f"{picture}_file" for picture in PICTURES), "file", *(f"{picture}_name" for picture in PICTURES), *PICTURES,
    ),
    "coarse": ("coarse", "coarse_label", "coarse_class", "coarse_category", "coarse_name", *CLASSES, *KINDS),
    "fine": ("fine", "fine_label", "fine_class", "fine_category", "fine_name", *KINDS),
    "split": ("split",),
}  # fmt: skip
"""Usual names of columns, the preferred one first. Case, spaces, dots, hyphens and underscores are ignored."""
NAMED_BY_USERS = ("path", "coarse", "fine")


class ColumnChoice:
    """Chooses the columns of one table.

    Args:
        place: The table, for messages.
        columns: Names of all its columns.
        taken: Columns that the user named for something else.
    """

    def __init__(self, place: object, columns: Sequence[str], taken: Sequence[str | None] = ()) -> None:
        self._place, self._columns = place, list(columns)
        self._taken = {self._named(column) for column in taken if column}
        self._chosen: dict[str, str] = {}
        self._others: dict[str, list[str]] = {}

    def choose(self, role: str, named: str | None = None, *, more: Sequence[str] = ()) -> str | None:
        """Return the column of `role` ("path", "coarse", "fine" or "split"); None if there is none.

        It is the column `named` by the user, else the one with exactly the name of the role, else the first with one of
        its usual names or of those in `more`.

        Raises:
            InputError: There is no column of the name that the user gave.
        """
        if named:
            return self._named(named)
        free = {_key(column): column for column in reversed(self._columns) if column not in self._taken}
        found = [free[key] for key in map(_key, (*USUAL[role], *more)) if key in free]
        if role in self._columns and role not in self._taken:
            found = [role]
        if not found:
            return None
        self._taken.add(found[0])
        self._chosen[role], self._others[role] = found[0], found[1:]
        return found[0]

    def require(self, role: str, column: str | None, remedy: str = "") -> str:
        """Return `column`; for None raises an InputError that lists the columns of the table."""
        if column is None:
            raise InputError(
                self._place,
                f"no column {role}; it has {', '.join(self._columns)}",
                f"name the right one with {role}{remedy}",
            )
        return column

    def unused(self) -> list[str]:
        """Return the columns that were neither chosen nor named."""
        return [column for column in self._columns if column not in self._taken]

    def notes(self) -> list[str]:
        """Return a note on the columns chosen by their names, unless the names are those of their roles."""
        if all(role == column for role, column in self._chosen.items()):
            return []
        chosen = ", ".join(f"{role} from {column!r}" for role, column in self._chosen.items())
        also = []
        for role, others in self._others.items():
            left = [repr(other) for other in others if other not in self._taken]
            if left and role in NAMED_BY_USERS:
                also.append(f"{' and '.join(left)} also fit: choose with {role}")
        return ["; ".join([f"columns by their usual names: {chosen}", *also])]

    def _named(self, column: str) -> str:
        """Return the column that the user means, possibly in another spelling."""
        if column in self._columns:
            return column
        same = [name for name in self._columns if _key(name) == _key(column)]
        if len(same) != 1:
            raise InputError(self._place, f"no column {column}", f"it has {', '.join(self._columns)}")
        return same[0]


def _key(name: str) -> str:
    return re.sub(r"[\s_.-]+", "", canonical(name).casefold())
