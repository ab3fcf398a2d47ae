"""The table of marks: appended to, cut down, shared with whoever edits it meanwhile."""

import csv

import pytest

from coarsecon.errors import InputError
from coarsecon.serve.marks import Mark, Marks


def mark(query_id: str = "train:1", neighbor: int = 2, **more: object) -> Mark:
    fields = {
        "time": "2026-01-01T00:00:00+00:00", "query": "q.png", "query_coarse": "", "query_fine": "", "split": "train",
        "name": "n.png", "coarse": "pear", "fine": "bosc", "cosine": -0.25,
    }  # fmt: skip
    return Mark(query_id=query_id, neighbor=neighbor, **{**fields, **more})


@pytest.fixture
def marks(tmp_path) -> Marks:
    return Marks(tmp_path / "results" / "marks.csv")


def rows(marks: Marks) -> list[dict[str, str]]:
    with marks.file.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_nothing_is_written_before_the_first_mark(marks):
    assert len(marks) == 0
    assert marks.of("train:1", "train") == set()
    assert not marks.file.exists()


def test_marks_are_appended_once_each_and_found_by_query_and_split(marks):
    for each in (mark(), mark(neighbor=5), mark(), mark("train:3")):
        marks.add(each)
    assert len(marks) == 3
    assert marks.of("train:1", "train") == {2, 5}
    assert marks.of("train:1", "test") == set()
    assert Marks(marks.file).of("train:3", "train") == {2}


def test_a_mark_taken_back_leaves_the_others_untouched(marks):
    for neighbor in (2, 5, 7):
        marks.add(mark(neighbor=neighbor, name="=SUM(A1)", query="-1+1", cosine=-0.5))
    before = rows(marks)
    marks.remove("train:1", "train", 5)
    assert rows(marks) == [before[0], before[2]]
    assert (before[0]["name"], before[0]["query"], before[0]["cosine"]) == ("'=SUM(A1)", "'-1+1", "-0.5")
    marks.remove("train:1", "train", 5)
    assert len(marks) == 2


def test_names_with_quotes_commas_and_line_ends_stay_one_cell(marks):
    odd = 'a "b", c\r\n=d'
    marks.add(mark(name=odd))
    marks.add(mark(neighbor=3, name=odd))
    marks.remove("train:1", "train", 3)
    assert [row["name"] for row in rows(marks)] == [odd]


def test_edits_from_outside_are_seen_and_kept(marks):
    marks.add(mark())
    marks.add(mark(neighbor=5))
    head, first, _ = marks.file.read_text().splitlines()
    marks.file.write_text(f"\ufeff{head},remark\n{first},mine")  # as an editor saves it, without a last line end
    assert marks.of("train:1", "train") == {2}
    marks.add(mark(neighbor=9))
    assert marks.of("train:1", "train") == {2, 9}
    assert rows(marks)[0]["remark"] == "mine"
    marks.remove("train:1", "train", 9)
    assert rows(marks)[0]["remark"] == "mine"


def test_names_beyond_ascii_stay_legible_in_spreadsheets(marks):
    marks.add(mark())
    assert not marks.file.read_bytes().startswith(b"\xef\xbb\xbf")
    marks.add(mark(neighbor=3, name="Äpfel/1.png"))
    marks.add(mark(neighbor=4))
    marks.remove("train:1", "train", 4)
    assert marks.file.read_bytes().count(b"\xef\xbb\xbf") == 1
    assert marks.file.read_text("utf-8-sig").startswith("time,")
    assert marks.of("train:1", "train") == {2, 3}


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\xff\xfe\x00", b'time,"', b"time,query\n"])
def test_what_is_no_table_of_marks_is_told_and_left_alone(marks, content):
    marks.file.parent.mkdir()
    marks.file.write_bytes(content)
    for call in (lambda: len(marks), lambda: marks.add(mark()), lambda: marks.remove("train:1", "train", 2)):
        with pytest.raises(InputError, match=r"marks\.csv: .*move it to another folder"):
            call()
    assert marks.file.read_bytes() == content


def test_rows_of_separators_that_a_spreadsheet_left_are_no_marks(marks):
    marks.add(mark())
    with marks.file.open("a", encoding="utf-8") as file:
        file.write(",,,,,,,,,,\n\n,,\n")
    assert len(marks) == 1
    marks.add(mark(neighbor=5))
    marks.remove("train:1", "train", 2)
    assert [row["neighbour"] for row in rows(marks)] == ["5"]


def test_marks_of_images_of_another_dataset_do_not_count(tmp_path):
    marks = Marks(tmp_path / "marks.csv")
    marks.add(mark("train:0", 1, name="b.jpg"))
    marks.add(mark("train:0", 2, name="=c.jpg"))
    assert marks.of("train:0", "train", ["a.jpg", "b.jpg", "=c.jpg"]) == {1, 2}
    assert marks.of("train:0", "train", ["a.jpg", "other.jpg", "=c.jpg"]) == {2}
    assert marks.of("train:0", "train", ["a.jpg"]) == set()
