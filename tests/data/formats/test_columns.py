"""The columns of a table are found by their usual names, and the choice is said."""

import pytest

from coarsecon.data.formats.columns import ColumnChoice
from coarsecon.errors import InputError


def chosen(*columns: str) -> tuple[str | None, str | None, str | None]:
    """The columns of paths, coarse and fine labels."""
    choice = ColumnChoice("table.csv", columns)
    return choice.choose("path"), choice.choose("coarse"), choice.choose("fine")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (("path", "coarse", "fine"), ("path", "coarse", "fine")),
        (("image", "category", "species"), ("image", "category", "species")),
        (("filename", "label"), ("filename", "label", None)),
        (("Image Path", "Super-Category", "Sub Category"), ("Image Path", "Super-Category", "Sub Category")),
        (("img", "coarse_label", "fine_label"), ("img", "coarse_label", "fine_label")),
        (("FILE_NAME", "Department", "breed"), ("FILE_NAME", "Department", "breed")),
        (("file", "class"), ("file", "class", None)),
        (("photo", "species"), ("photo", "species", None)),
        (("filepath", "genus", "species"), ("filepath", "genus", "species")),
        (("image", "path", "Coarse", "coarse", "label", "fine"), ("path", "coarse", "fine")),
        (("x", "y", "z"), (None, None, None)),
    ],
)
def test_usual_names_are_known_in_any_case_and_spacing(columns, expected) -> None:
    assert chosen(*columns) == expected


def test_of_several_columns_the_first_of_the_documented_order_is_taken_and_said() -> None:
    choice = ColumnChoice("table.csv", ["label", "image", "category", "filename"])
    assert (choice.choose("path"), choice.choose("coarse"), choice.choose("fine")) == ("filename", "category", None)
    assert choice.notes() == [
        "columns by their usual names: path from 'filename', coarse from 'category'; "
        "'image' also fit: choose with path; 'label' also fit: choose with coarse"
    ]
    assert choice.unused() == ["label", "image"]


def test_columns_called_as_their_role_need_no_word() -> None:
    choice = ColumnChoice("table.csv", ["path", "coarse", "fine", "split", "category"])
    assert [choice.choose(role) for role in ("path", "coarse", "fine", "split")] == ["path", "coarse", "fine", "split"]
    assert choice.notes() == []


def test_the_users_own_choice_wins_and_is_not_taken_twice() -> None:
    choice = ColumnChoice("table.csv", ["image", "species", "label"], [None, "Species", None])
    assert choice.choose("coarse", "Species") == "species"
    assert choice.choose("fine") is None
    assert choice.choose("path") == "image"


def test_a_missing_column_is_an_error_that_lists_the_columns() -> None:
    choice = ColumnChoice("table.csv", ["a", "b"])
    with pytest.raises(InputError, match=r"table.csv: no column nope; it has a, b$"):
        choice.choose("path", "nope")
    with pytest.raises(InputError, match=r"table.csv: no column path; it has a, b; name the right one with path"):
        choice.require("path", choice.choose("path"))


def test_columns_match_in_any_unicode_form() -> None:
    choice = ColumnChoice("t.csv", ["path", "cate\u0301gorie"])
    assert choice.choose("coarse", "cat\u00e9gorie") == "cate\u0301gorie"
