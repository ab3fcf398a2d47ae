"""Tables as spreadsheets save them are read, and others refused in words."""

from pathlib import Path

import pytest

from coarsecon.data.tables import read_rows
from coarsecon.errors import InputError
from coarsecon.report.spreadsheet import csv_text

TEXT = "path,coarse\nkäse.jpg,Käse\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom"])
def test_encodings_that_say_what_they_are_are_read(tmp_path: Path, encoding: str) -> None:
    table = tmp_path / "table.csv"
    content = b"\xff\xfe" + TEXT.encode("utf-16-le") if encoding == "utf-16-le-bom" else TEXT.encode(encoding)
    table.write_bytes(content)
    assert list(read_rows(table, {"path"})) == [(f"{table}, line 2", {"path": "käse.jpg", "coarse": "Käse"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode("latin-1"), "not a table in UTF-8 or UTF-16 .*save it as CSV in UTF-8"),
        (TEXT.encode("utf-16")[:-3], "not a table in UTF-8 or UTF-16"),
        (b"path,coarse\na.jpg,salt, pepper\n", "line 2: more cells than columns; quote texts that hold a comma"),
        (b"path,path,coarse\na,b,c\n", "the column 'path' stands twice"),
        (b"path;coarse\na.jpg;salt; pepper\n", "line 2: more cells than columns; quote texts that hold a semicolon"),
        (b"path|coarse\na.jpg|b\n", r"no column coarse or path; it has path\|coarse"),
        (b"path,coarse\n" + b'"' + b"x" * 200_000, "not a readable CSV table .*field larger"),
    ],
)
def test_tables_that_cannot_be_read_are_told(tmp_path: Path, content: bytes, message: str) -> None:
    table = tmp_path / "table.csv"
    table.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_rows(table, {"path", "coarse"}))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_separators_of_all_countries_spreadsheets_are_read(tmp_path: Path, separator: str, encoding: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(f"path{separator} coarse \r\na, b.jpg{separator}Käse\r\n".replace("a, b", '"a, b"'), encoding)
    assert list(read_rows(table, {"path"})) == [(f"{table}, line 2", {"path": "a, b.jpg", "coarse": "Käse"})]


def test_what_was_kept_from_being_a_formula_is_read_as_it_was(tmp_path: Path) -> None:
    cells = ["=a.jpg", "-misc/+1.jpg", "'quoted'", "plain"]
    (tmp_path / "table.csv").write_text(csv_text(["path"], [[cell] for cell in cells]))
    assert [row["path"] for _, row in read_rows(tmp_path / "table.csv", {"path"})] == cells


def test_a_folder_in_place_of_a_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; name a CSV or Parquet table"):
        list(read_rows(tmp_path, {"path"}))


def test_empty_cells_beyond_the_last_column_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("path,coarse,\na.jpg,cat,,,\n")
    assert [row for _, row in read_rows(tmp_path / "table.csv", {"path"})] == [{"path": "a.jpg", "coarse": "cat"}]
