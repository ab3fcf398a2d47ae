"""A journal keeps every acknowledged line: damage is an error, and only an unfinished write is ignored."""

import json
from pathlib import Path

import pytest
from tiny import write_tiny_dataset

from coarsecon.data.labels.columns import add_labels
from coarsecon.data.prepared.label_journal import append_lines, read_journal
from coarsecon.data.prepared.store import open_dataset
from coarsecon.errors import CoarseconError, InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal of three lines."""
    folder = tmp_path / "reviewed"
    append_lines(append_lines(read_journal(folder), [b'{"a":1}', b'{"a":2}']), [b'{"a":3}'])
    return folder


def lines(folder: Path) -> list[int]:
    return [json.loads(line)["a"] for line in read_journal(folder).lines]


def test_lines_are_json_and_are_read_as_they_were_written(folder: Path) -> None:
    assert lines(folder) == [1, 2, 3]
    written = (folder / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["entry"]["a"] for line in written] == [1, 2, 3]
    assert json.loads((folder / "head.json").read_text())["lines"] == 3
    assert read_journal(folder).note == ""


def test_an_unfinished_last_line_is_ignored_with_a_note_and_replaced_by_the_next(folder: Path) -> None:
    file = folder / "journal.jsonl"
    before = file.read_bytes()
    for tail in (b"{", b'{"checksum":"0123456789abcdef","entry":{"a":4', b"\0" * 40, b"\0\0\n"):
        file.write_bytes(before + tail)
        assert lines(folder) == [1, 2, 3]
        assert read_journal(folder).note.endswith("an unfinished last line is ignored, because a write was interrupted")
    append_lines(read_journal(folder), [b'{"a":4}'])
    assert lines(folder) == [1, 2, 3, 4]
    assert read_journal(folder).note == ""


def test_a_line_without_its_line_end_counts_and_the_next_begins_a_new_line(folder: Path) -> None:
    file = folder / "journal.jsonl"
    file.write_bytes(file.read_bytes()[:-1])
    assert lines(folder) == [1, 2, 3]
    append_lines(read_journal(folder), [b'{"a":4}'])
    assert lines(folder) == [1, 2, 3, 4]


def test_a_complete_line_that_was_not_acknowledged_counts(folder: Path) -> None:
    head = (folder / "head.json").read_text()
    append_lines(read_journal(folder), [b'{"a":4}'])
    (folder / "head.json").write_text(head)
    assert lines(folder) == [1, 2, 3, 4]


def test_every_lost_or_changed_line_is_an_error(folder: Path) -> None:
    file = folder / "journal.jsonl"
    content = file.read_bytes()
    first, second, third = content.splitlines(keepends=True)
    for damaged, message in (
        (first + second, "ends after 2 of 3 lines"),
        (first + second + third[:-5], "line 3: does not match its checksum"),
        (first + third, "line 2: does not match its checksum"),
        (second + first + third, "line 1: does not match its checksum"),
        (content.replace(b'"a":2', b'"a":7'), "line 2: does not match its checksum"),
        (first + second + third.replace(b"3", b"4"), "line 3: does not match its checksum"),
        (content + b"\n", None),
        (b"", "is missing or empty"),
    ):
        file.write_bytes(damaged)
        if message is None:
            assert lines(folder) == [1, 2, 3]
            continue
        with pytest.raises(InputError, match=message):
            read_journal(folder)
    file.unlink()
    with pytest.raises(InputError, match="is missing or empty; restore the folder from a copy"):
        read_journal(folder)


def test_a_damaged_head_is_noted_and_written_again(folder: Path) -> None:
    (folder / "head.json").write_text("{")
    journal = read_journal(folder)
    assert journal.note.endswith("head.json: damaged and ignored; the next change of labels writes it again")
    append_lines(journal, [b'{"a":4}'])
    assert read_journal(folder).note == ""


def test_the_head_of_another_journal_is_an_error(folder: Path) -> None:
    (folder / "head.json").write_text(json.dumps({"lines": 2, "checksum": "0" * 16}))
    with pytest.raises(InputError, match=r"is not the journal that head.json belongs to"):
        read_journal(folder)


def test_links_and_huge_files_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coarsecon.data.prepared.label_journal.MAX_JOURNAL_BYTES", 200)
    with pytest.raises(InputError, match="larger than"):
        append_lines(read_journal(folder), [b'{"a":"%s"}' % (b"x" * 200)])
    assert lines(folder) == [1, 2, 3]
    file = folder / "journal.jsonl"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="not a regular file"):
        read_journal(folder)


def test_a_full_disk_loses_no_earlier_line(small_disk: Path) -> None:
    journal = append_lines(read_journal(small_disk / "reviewed"), [b'{"a":1}'])
    with pytest.raises(CoarseconError, match="cannot be written"):
        append_lines(journal, [b'{"a":"%s"}' % (b"x" * 2**20)])
    assert lines(small_disk / "reviewed") == [1]


def test_labels_of_other_images_are_refused(tmp_path: Path) -> None:
    data = write_tiny_dataset(tmp_path / "data", train=12, test=6)
    other = write_tiny_dataset(tmp_path / "other", train=16, test=6)
    add_labels(data, "reviewed", [(("train", 0), "oak")], "Ann")
    (data / "labels").rename(other / "labels")
    with pytest.raises(InputError, match="its labels belong to other images than those of this dataset"):
        open_dataset(other)


def test_a_folder_without_a_journal_and_files_beside_it_are_no_columns(tmp_path: Path) -> None:
    data = write_tiny_dataset(tmp_path / "data", train=12, test=6)
    (data / "labels" / "begun").mkdir(parents=True)
    (data / "labels" / "notes.txt").write_text("by Ann")
    assert open_dataset(data).columns == {}


def test_entries_that_do_not_fit_the_dataset_are_refused(tmp_path: Path) -> None:
    data = write_tiny_dataset(tmp_path / "data", train=12, test=6)
    add_labels(data, "reviewed", [(("train", 0), "oak")], "Ann")
    start = read_journal(data / "labels" / "reviewed")
    about = {"who": "Ann", "when": "now"}
    images, labels = {"train": [0]}, {"train": [0]}
    for change, message in (
        ({"kind": "undo", "entry": 2}, "reverses entry 2, which is not an earlier one"),
        ({"kind": "assign", "classes": ["a"], "images": {"train": [12]}, "labels": labels}, "image 12 of train"),
        ({"kind": "assign", "classes": ["a"], "images": images, "labels": {"train": [1]}}, "outside -1 to 0"),
        ({"kind": "assign", "classes": ["a"], "images": {"val": [0]}, "labels": {"val": [0]}}, "its splits are not"),
        ({"kind": "assign", "classes": ["a"], "images": images, "labels": {"train": []}}, "do not match"),
        ({"kind": "assign", "classes": ["a", "a"], "images": images, "labels": labels}, "lists a class twice"),
        ({"kind": "rename", "old": "a", "new": "b\n"}, "control characters"),
        ({"kind": "swap"}, "change: Input tag 'swap'"),
    ):
        (data / "labels" / "reviewed" / "journal.jsonl").write_bytes(b"")
        (data / "labels" / "reviewed" / "head.json").unlink()
        empty = read_journal(data / "labels" / "reviewed")
        append_lines(empty, [*start.lines, json.dumps({**about, "change": change}).encode()])
        with pytest.raises(InputError) as caught:
            open_dataset(data)
        assert message in str(caught.value), change
        assert "line 3" in str(caught.value)
