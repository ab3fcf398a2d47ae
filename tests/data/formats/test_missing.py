"""Missing values are no classes, and classes that look alike are named."""

import pytest

from coarsecon.data.formats.missing import MISSING, LabelColumns, similar_names

PANDAS = {
    " ", "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip
"""`pandas.read_csv` documents these, and a cell of spaces besides."""


@pytest.mark.parametrize("cell", sorted(PANDAS))
def test_the_usual_markers_are_missing_values(cell: str) -> None:
    assert LabelColumns().read("fine", cell) == ""


@pytest.mark.parametrize("cell", sorted(MISSING))
def test_markers_may_be_kept_as_names(cell: str) -> None:
    labels = LabelColumns(keep_na=True)
    assert labels.read("fine", cell) == cell
    assert labels.read("fine", " ") == ""


@pytest.mark.parametrize("cell", ["Nan", "Nadia", "none of these", "0", "-", "naan"])
def test_other_words_are_classes(cell: str) -> None:
    assert LabelColumns().read("fine", cell) == cell


def test_missing_values_are_counted_by_column_and_marker() -> None:
    labels = LabelColumns()
    for cell in ("NA", "NA", "", "pug"):
        labels.read("fine", cell)
    labels.read("coarse", "dog")
    labels.read("year", "")
    assert labels.notes() == [
        "column fine: 3 of 4 labels are missing and stay unknown (2 NA, 1 empty); set keep_na if NA is a class name",
        "column year: 1 of 1 labels are missing and stay unknown (1 empty)",
    ]


def test_spaces_and_composed_letters_are_one_spelling() -> None:
    labels = LabelColumns()
    forms = ["K\u00e4se  alt", "Ka\u0308se alt", "K\u00e4se\nalt", "K\u00e4se\u00a0alt"]
    assert {labels.read("fine", form) for form in forms} == {"K\u00e4se alt"}


def test_classes_that_look_alike_are_named() -> None:
    names = ["dog", "Dog", "cat", "big-cat", "big cat", "1", "01", "1.0", "10", "2"]
    assert similar_names(names) == ["'dog' and 'Dog'", "'big-cat' and 'big cat'", "'1' and '01' and '1.0'"]
    assert similar_names(["hats", "hats "]) == ["'hats' and 'hats '"]
    assert similar_names(["1", "10", "100", "a1", "a 1"]) == []
