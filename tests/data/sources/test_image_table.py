"""A user's images are found with the labels their table gives, or one error says what is wrong."""

import sys
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import pytest

from coarsecon.data.sources.image_table import list_table
from coarsecon.data.sources.label_options import LabelOptions
from coarsecon.data.sources.listing import ListedImage
from coarsecon.errors import InputError


@pytest.fixture
def write_table(tree: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a table beside images a.jpg, b.jpg and sub/c.jpg."""

    def write(text: str, encoding: str = "utf-8") -> Path:
        table = tree("a.jpg", "b.jpg", "sub/c.jpg") / "table.csv"
        table.write_text(text, encoding=encoding)
        return table

    return write


def listed(table: Path) -> list[ListedImage]:
    return list_table(table, table.parent)[0]


def test_validation_images_are_called_val(write_table: Callable[..., Path]) -> None:
    table = write_table("path,coarse,split\na.jpg,dog,Train\nb.jpg,dog,valid\nsub/c.jpg,dog,queries\n")
    assert [image.split for image in listed(table)] == ["train", "val", "queries"]


def test_a_table_gives_labels_and_splits(write_table: Callable[..., Path]) -> None:
    table = write_table("path,coarse,fine,split,note\na.jpg,dog,pug,train,x\nsub/c.jpg,cat,,test,\n")
    assert listed(table) == [
        ListedImage("a.jpg", "dog", "pug", "train"),
        ListedImage("sub/c.jpg", "cat", "", "test"),
    ]


def test_without_a_split_column_all_is_train(write_table: Callable[..., Path]) -> None:
    assert listed(write_table("coarse,path\n dog , ./a.jpg\n")) == [ListedImage("a.jpg", "dog", "", "train")]


def test_tables_of_spreadsheets_are_read(write_table: Callable[..., Path]) -> None:
    table = write_table('path,coarse\r\n"a.jpg","Äpfel, ""rot"""\r\n\r\n', encoding="utf-8-sig")
    assert listed(table) == [ListedImage("a.jpg", 'Äpfel, "rot"', "", "train")]


def test_paths_are_relative_to_the_folder_that_is_given(write_table: Callable[..., Path]) -> None:
    table = write_table("path,coarse\nc.jpg,dog\n")
    assert list_table(table, table.parent / "sub")[0][0].path == "c.jpg"


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("name,coarse\na.jpg,dog\n", "no column path; it has name, coarse"),
        ("path,coarse\n,dog\n", "line 2: the path in the column path is missing"),
        ("path,coarse\na.jpg,dog\nNaN,dog\n", "line 3: the path in the column path is missing"),
        ("path,coarse\na.jpg\nb.jpg,NA\n", "the column coarse holds no label: all 2 are missing"),
        ("path,coarse,split\na.jpg,dog,None\n", "line 2: 'None' is not a valid split name"),
        ("path,coarse,split\na.jpg,dog,\n", "line 2: '' is not a valid split name"),
        ("path,coarse,split\na.jpg,dog,../x\n", "line 2: '../x' is not a valid split name"),
        ("path,coarse\na.jpg,dog\nd.jpg,cat\n", "line 3: no such file: .*d.jpg"),
        ("path,coarse\nsub,dog\n", "line 2: no such file: .*sub"),
        (
            "path,coarse\na.jpg,dog\nb.jpg,cat\n./a.jpg,cat\n",
            "line 4: ./a.jpg is already listed at .* line 2",
        ),
        ("path,coarse\n/etc/passwd,dog\n", "line 2: /etc/passwd is absolute or leads out"),
        ("path,coarse\nsub/../../x.jpg,dog\n", "leads out of .* as source"),
        ("path,coarse\nC:\\x.jpg,dog\n", "is absolute"),
        ("path,coarse\n..\\x.jpg,dog\n", "leads out"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(write_table: Callable[..., Path], rows: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as error:
        listed(write_table(rows))
    assert "table.csv" in str(error.value)


def test_paths_of_a_table_written_on_windows_are_read(write_table: Callable[..., Path]) -> None:
    assert listed(write_table("path,coarse\nsub\\c.jpg,dog\n")) == [ListedImage("sub/c.jpg", "dog", "", "train")]
    with pytest.raises(InputError, match=r"no such file: \S*sub/d\.jpg"):
        listed(write_table("path,coarse\nsub\\d.jpg,dog\n"))


def test_a_missing_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.csv: no such file"):
        listed(tmp_path / "none.csv")


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"table.parquet: .*coarsecon\[parquet\]"):
        listed(tmp_path / "table.parquet")


def test_parquet_tables_are_read(tree: Callable[..., Path]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = tree("a.jpg", "b.jpg") / "table.parquet"
    columns = {"path": ["a.jpg", "b.jpg"], "coarse": ["dog", "cat"], "fine": ["pug", None], "age": [1, 2]}
    parquet.write_table(pyarrow.table(columns), table)
    assert listed(table) == [
        ListedImage("a.jpg", "dog", "pug", "train"),
        ListedImage("b.jpg", "cat", "", "train"),
    ]
    table.write_bytes(table.read_bytes()[:-20])
    with pytest.raises(InputError, match="not a readable Parquet table"):
        listed(table)


def test_missing_labels_are_unknown_and_counted(write_table: Callable[..., Path]) -> None:
    table = write_table("path,coarse,fine\na.jpg,NaN,pug\nb.jpg,dog,N/A\nsub/c.jpg,dog,null\n")
    images, notes = list_table(table, table.parent)
    assert [(image.coarse, image.fine) for image in images] == [("", "pug"), ("dog", ""), ("dog", "")]
    assert notes == [
        "column coarse: 1 of 3 labels are missing and stay unknown (1 NaN); set keep_na if NaN is a class name",
        "column fine: 2 of 3 labels are missing and stay unknown (1 N/A, 1 null); "
        "set keep_na if N/A or null is a class name",
    ]
    kept, notes = list_table(table, table.parent, LabelOptions(keep_na=True))
    assert [(image.coarse, image.fine) for image in kept] == [("NaN", "pug"), ("dog", "N/A"), ("dog", "null")]
    assert notes == []


def test_other_columns_are_found_or_named(write_table: Callable[..., Path]) -> None:
    table = write_table("Image,Category,Species,place\na.jpg,dog,pug,b.jpg\n")
    images, notes = list_table(table, table.parent)
    assert images == [ListedImage("a.jpg", "dog", "pug", "train")]
    assert notes[0] == "columns by their usual names: path from 'Image', coarse from 'Category', fine from 'Species'"
    images, _ = list_table(table, table.parent, LabelOptions(path="place", coarse="Species"))
    assert images == [ListedImage("b.jpg", "pug", "", "train")]


def test_absolute_paths_inside_the_folder_are_read(write_table: Callable[..., Path], tmp_path: Path) -> None:
    table = write_table(f"path,coarse\n{tmp_path}/sub/c.jpg,dog\n")
    assert listed(table) == [ListedImage("sub/c.jpg", "dog", "", "train")]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("a.JPG", "no such file: .*a.JPG; did you mean a.jpg?"),
        ("sub/c", r"no such file: .*sub/c; did you mean sub/c.jpg\?"),
        ("https://example.org/a.jpg", "is a URL; download the images"),
    ],
)
def test_what_a_path_may_mean_is_said(write_table: Callable[..., Path], path: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        listed(write_table(f"path,coarse\n{path},dog\n"))


def test_names_in_two_unicode_forms_are_one_class(write_table: Callable[..., Path]) -> None:
    nfc, nfd = (normalize(form, "café") for form in ("NFC", "NFD"))
    images = listed(write_table(f"path,coarse,fine\na.jpg,{nfc},{nfc}\nb.jpg,{nfd},{nfd}\n"))
    assert len(images) == 2
    assert {(image.coarse, image.fine) for image in images} == {(nfc, nfc)}


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_paths_of_a_table_are_found_in_any_unicode_form(tree: Callable[..., Path], on_disk: str) -> None:
    mixed = f"{normalize('NFC', 'é')}/{normalize('NFD', 'é')}.jpg"
    spelled = normalize(on_disk, mixed)
    root = tree(spelled)
    for form in ("NFC", "NFD"):
        (root / "table.csv").write_text(f"path,coarse\n{normalize(form, mixed)},dog\n", encoding="utf-8")
        assert [image.path for image in listed(root / "table.csv")] == [spelled]
    (root / "table.csv").write_text(f"path,coarse\n{mixed},dog\n", encoding="utf-8")
    assert [image.path for image in listed(root / "table.csv")] == [spelled]


def test_absolute_paths_are_found_in_any_unicode_form(tmp_path: Path) -> None:
    root = tmp_path / "cafe\u0301"
    root.mkdir()
    (root / "1.jpg").touch()
    (tmp_path / "t.csv").write_text(f"path,coarse\n{tmp_path}/caf\u00e9/1.jpg,dog\n", encoding="utf-8")
    assert [image.path for image in list_table(tmp_path / "t.csv", root)[0]] == ["1.jpg"]
