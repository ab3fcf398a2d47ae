"""Tables of labels are read completely or not at all, and what is exported reads back as it was."""

from pathlib import Path

import pytest
from tiny import write_tiny_dataset

from coarsecon.data.labels.columns import add_labels
from coarsecon.data.labels.table import import_labels, label_rows
from coarsecon.data.prepared.store import open_dataset
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter


class Lines(Reporter):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def info(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_tiny_dataset(tmp_path / "data", train=6, test=4)


def write(folder: Path, text: str, name: str = "table.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def labeled(data: Path, level: str = "reviewed") -> dict[str, str]:
    return {path: label for path, label, _ in label_rows(open_dataset(data), level)}


def test_a_table_assigns_labels_and_empty_cells_keep_those_that_there_are(data: Path, tmp_path: Path) -> None:
    add_labels(data, "reviewed", [("train-000001", "elm"), ("train-000003", "elm")], "Ann")
    lines = Lines()
    table = write(tmp_path, "path,label\ntrain-000000,oak\ntest-000002, holm  oak \ntrain-000001,\ntrain-000002,NA\n")
    column = import_labels(data, table, "reviewed", "Bob", "from the field", reporter=lines)
    assert labeled(data) == {
        "train-000000": "oak", "train-000001": "elm", "train-000003": "elm", "test-000002": "holm oak"
    }  # fmt: skip
    assert (column.version, column.entries[-1].who, column.entries[-1].note) == (2, "Bob", "from the field")
    assert any("2 of 4 labels are missing" in text for text in lines.texts)


def test_replacing_removes_the_labels_that_are_not_in_the_table(data: Path, tmp_path: Path) -> None:
    add_labels(data, "reviewed", [("train-000001", "elm"), ("train-000003", "elm")], "Ann")
    import_labels(
        data, write(tmp_path, "path,label\ntrain-000000,oak\ntrain-000003,\n"), "reviewed", "Bob", replace=True
    )
    assert labeled(data) == {"train-000000": "oak"}


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_splits_and_separators_are_read(data: Path, tmp_path: Path, suffix: str) -> None:
    separator = {"csv": ";", "tsv": "\t"}[suffix]
    text = "path,label,split\ntrain-000000,oak,train\ntest-000001,elm,test\n".replace(",", separator)
    import_labels(data, write(tmp_path, text, f"table.{suffix}"), "reviewed", "Ann")
    assert labeled(data) == {"train-000000": "oak", "test-000001": "elm"}


def test_a_filled_table_of_clusters_is_read_by_its_fine_labels(data: Path, tmp_path: Path) -> None:
    text = (
        "path,coarse,proposed,typicality,margin,fine,split\n"
        "train-000000,bags,bags-1,0.9,0.1,small,train\n"
        "train-000001,shoes,shoes-1,0.9,0.1,small,train\n"
        "train-000002,shoes,shoes-2,0.9,0.1,boot,train\n"
        "train-000003,shoes,shoes-2,0.9,0.1,,train\n"
    )
    import_labels(data, write(tmp_path, text), "reviewed", "Ann")
    assert labeled(data) == {"train-000000": "bags/small", "train-000001": "shoes/small", "train-000002": "boot"}


def test_a_column_of_labels_can_be_named(data: Path, tmp_path: Path) -> None:
    table = write(tmp_path, "path,label,proposed\ntrain-000000,no,bags-1\n")
    import_labels(data, table, "reviewed", "Ann", label="proposed")
    assert labeled(data) == {"train-000000": "bags-1"}


def test_what_is_exported_reads_back_as_it_was(data: Path, tmp_path: Path) -> None:
    pairs = [("train-000000", "=sum(a1)"), ("train-000001", 'semi;colon, "quoted"'), ("test-000001", "grün")]
    add_labels(data, "reviewed", pairs, "Ann")
    from coarsecon.report.spreadsheet import csv_text

    rows = list(label_rows(open_dataset(data), "reviewed", unlabeled=True))
    assert len(rows) == 10
    table = write(tmp_path, csv_text(("path", "label", "split"), rows))
    import_labels(data, table, "copy", "Ann")
    assert labeled(data, "copy") == dict(pairs)


def test_an_old_version_is_exported(data: Path) -> None:
    add_labels(data, "reviewed", [("train-000000", "oak")], "Ann")
    add_labels(data, "reviewed", [("train-000000", "elm")], "Ann")
    assert labeled(data, "reviewed@1") == {"train-000000": "oak"}
    with pytest.raises(InputError, match="has no 'other' labels; it has coarse, fine, reviewed"):
        labeled(data, "other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\ntrain-000000,oak\nnowhere.jpg,elm\n",
         "line 3: 1 of 2 images are not in {data}, the first: nowhere.jpg; give the paths as in the dataset"),
        ("path,label,split\ntrain-000000,oak,test\n", "1 of 1 images are not in"),
        ("path,label\ntrain-000000,oak\ntrain-000000,elm\n",
         "line 3: train-000000 has two labels: 'oak' at {table}, line 2, 'elm' here; keep one of them"),
        ("path,label\ntrain-000000,oak\ntrain-000000,\n", "'oak' at {table}, line 2, 'no label' here"),
        ("path,label\ntrain-000000,\n", "it has no labels; fill its column of labels"),
        ("path,label\n", "it has no labels"),
        ("path,color\ntrain-000000,red\n", "no column of labels; it has path, color; name it with label"),
        ("label\noak\n", "no column path"),
        ("path,label\ntrain-000000,o\x07ak\n", "class name: contains control characters"),
        ("path,label\n,oak\n", "the path in the column path is missing"),
        ("path,label\ntrain-000000," + "x" * 300 + "\n", "class name: String should have at most 200 characters"),
    ],
)  # fmt: skip
def test_a_wrong_table_changes_nothing(data: Path, tmp_path: Path, text: str, message: str) -> None:
    add_labels(data, "reviewed", [("train-000005", "ash")], "Ann")
    table = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        import_labels(data, table, "reviewed", "Ann")
    assert message.format(data=data, table=table) in str(caught.value)
    assert labeled(data) == {"train-000005": "ash"}
    assert open_dataset(data).columns["reviewed"].version == 1


def test_unknown_images_are_passed_over_on_request(data: Path, tmp_path: Path) -> None:
    lines = Lines()
    table = write(tmp_path, "path,label\ntrain-000000,oak\nnowhere.jpg,elm\n")
    import_labels(data, table, "reviewed", "Ann", skip_unknown=True, reporter=lines)
    assert labeled(data) == {"train-000000": "oak"}
    assert any("passed over 1 of 2 images" in text for text in lines.texts)
