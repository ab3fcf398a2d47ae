"""Cells that a spreadsheet would run as formulas stay text, and a CSV reader gets back what was written."""

import csv
from io import StringIO

import pytest

from coarsecon.report.spreadsheet import csv_file, csv_text


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_formulas_become_text(cell: str) -> None:
    rows = list(csv.reader(StringIO(csv_text(["name"], [[cell]]), newline="")))
    assert rows == [["name"], [f"'{cell}"]]


def test_other_cells_and_numbers_stay() -> None:
    cells = ["a=b", 'say "x", y', "Schuhe\nÄ", -0.5, 3, ""]
    assert list(csv.reader(StringIO(csv_text("abcdef", [cells]), newline="")))[1] == [str(cell) for cell in cells]


def test_a_file_beyond_ascii_begins_with_the_mark_that_spreadsheets_look_for() -> None:
    assert csv_file("name\r\nÄpfel\r\n").decode("utf-8-sig") == "name\r\nÄpfel\r\n"
    assert csv_file("Äpfel").startswith(b"\xef\xbb\xbf")
    assert csv_file("name") == b"name"
