"""Tables as spreadsheets save them are read, and others refused in words."""

from pathlib import Path

import pytest

from coarsecon.data.formats.tables import read_rows, read_table
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
        (TEXT.encode() + b"b.jpg,\xe9", "not a table in UTF-8 or UTF-16 .*save it as CSV in UTF-8"),
        (b"path,coarse\na.jpg,\x81\n", "nor in Windows-1252 .*save it as CSV in UTF-8"),
        (TEXT.encode("utf-16")[:-3], "not a table in UTF-8 or UTF-16"),
        (b"path,coarse\na.jpg,salt, pepper\n", "line 2: more cells than columns; quote texts that hold a comma"),
        (b"path,path,coarse\na,b,c\n", "the column 'path' occurs twice"),
        (b"path;coarse\na.jpg;salt; pepper\n", "line 2: more cells than columns; quote texts that hold a semicolon"),
        (b"path/coarse\na.jpg/b\n", r"no column coarse or path; it has path/coarse"),
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
    with pytest.raises(InputError, match="a folder; name a CSV or Parquet table"):
        list(read_rows(tmp_path, {"path"}))


def test_empty_cells_beyond_the_last_column_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("path,coarse,\na.jpg,cat,,,\n")
    assert [row for _, row in read_rows(tmp_path / "table.csv", {"path"})] == [{"path": "a.jpg", "coarse": "cat"}]


ROWS = [("a.jpg", "cat"), ("b.jpg", "dog")]


def rows_of(tmp_path: Path, content: str | bytes, name: str = "table.csv") -> list[tuple[str, ...]]:
    """The cells of a table with this content, row by row."""
    table = tmp_path / name
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [tuple(row.values()) for _, row in read_table(table).rows]


@pytest.mark.parametrize(
    "content",
    [
        "path,coarse\na.jpg,cat\nb.jpg,dog\n,\n,\n",
        "path;coarse\r\na.jpg;cat\r\n;\r\n ; \r\nb.jpg;dog\r\n\r\n",
        "path,coarse,,\na.jpg,cat,,\nb.jpg,dog,,\n,,,\n",
        ",,\n\npath,coarse,\na.jpg,cat,\nb.jpg,dog\n",
        "sep=;\r\npath;coarse\r\na.jpg;cat\r\nb.jpg;dog\r\n",
        "SEP=|\npath|coarse\na.jpg|cat\nb.jpg|dog\n",
        '"sep=;"\npath;coarse\na.jpg;cat\nb.jpg;dog\n',
        "sep=;,\npath,coarse\na.jpg,cat\nb.jpg,dog\n",
        "\ufeffsep=\t\npath\tcoarse\na.jpg\tcat\nb.jpg\tdog\n",
        "path,coarse\ra.jpg,cat\rb.jpg,dog",
        "path|coarse\na.jpg|cat\nb.jpg|dog\n",
        ",path,coarse\n0,a.jpg,cat\n1,b.jpg,dog\n",
        "path, coarse \n a.jpg,cat\u00a0\nb.jpg\u200b,\ufeffdog\n",
    ],
    ids=[
        "separators only", "blank rows between", "empty columns", "blank rows first", "sep line", "sep in capitals",
        "sep in quotes", "sep line saved again", "sep of a tab", "carriage returns", "vertical bars", "index",
        "invisible characters",
    ],
)  # fmt: skip
def test_what_spreadsheets_add_is_no_row_and_no_column(tmp_path: Path, content: str) -> None:
    assert rows_of(tmp_path, content) == ROWS


def test_separators_inside_quoted_headings_do_not_count(tmp_path: Path) -> None:
    found = rows_of(tmp_path, '"path";"coarse";"a, b, c, d"\na.jpg;cat;x\nb.jpg;dog;1,5\n')
    assert found == [("a.jpg", "cat", "x"), ("b.jpg", "dog", "1,5")]


def test_text_in_a_column_without_a_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 3: more cells than columns; .* or name the column of 'pepper'"):
        rows_of(tmp_path, "path,coarse,\na.jpg,cat,\nb.jpg,salt, pepper\n")
    with pytest.raises(InputError, match=r"line 2: more cells than columns"):
        rows_of(tmp_path, "path,coarse\na.jpg,1,234\n")


def test_a_quote_that_is_never_closed_is_an_error_and_swallows_no_rows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 3: unclosed quotation mark"):
        rows_of(tmp_path, 'path,coarse\na.jpg,cat\nb.jpg,"dog\nc.jpg,cat\n')


def test_windows_encoding_is_read_and_said(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_bytes("path;coarse\nkäse.jpg;Käse – alt\n".encode("cp1252"))
    opened = read_table(table)
    assert [row for _, row in opened.rows] == [{"path": "käse.jpg", "coarse": "Käse – alt"}]
    assert opened.notes == [
        f"{table}: not UTF-8, read as Windows-1252 ('käse.jpg;Käse – alt'); if letters are wrong, "
        "save it as CSV in UTF-8"
    ]


@pytest.mark.parametrize("name", ["table.xlsx", "table.ods"])
def test_a_workbook_is_refused_with_the_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="workbook of a spreadsheet program; save it as CSV"):
        rows_of(tmp_path, b"PK\x03\x04", name)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "the table is empty"),
        (",,\n,,\n", "the table is empty"),
        ("path,coarse\na.jpg,a\0b\n", "null characters"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        rows_of(tmp_path, content)


def test_numbers_that_pandas_made_floats_are_whole_in_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"path": ["a", "b", "c", None], "label": [1.0, float("nan"), 12.0, None], "size": [0.5, 1.5, 2.0, None]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "table.parquet")
    rows = [tuple(row.values()) for _, row in read_table(tmp_path / "table.parquet").rows]
    assert rows == [("a", "1", "0.5"), ("b", "", "1.5"), ("c", "12", "2")]
