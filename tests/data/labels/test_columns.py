"""Label columns: every change counts, can be undone, and is refused where it would lose or mix labels."""

import json
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from tiny import write_tiny_dataset

from coarsecon.data.labels.columns import add_labels, find_column, remove_class, rename_class, reversals, undo
from coarsecon.data.prepared.check import check_dataset
from coarsecon.data.prepared.label_columns import replay
from coarsecon.data.prepared.store import open_dataset
from coarsecon.errors import InputError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_tiny_dataset(tmp_path / "data", train=12, test=6)


def names(data: Path, split: str = "train", level: str = "reviewed") -> list[str | None]:
    """The class names of the images of a split."""
    dataset = open_dataset(data)
    return [dataset.info.levels[level][label] if label >= 0 else None
            for label in dataset.split(split).labels[level].tolist()]  # fmt: skip


def label(data: Path, *pairs: tuple, who: str = "Ann", note: str = "") -> None:
    add_labels(data, "reviewed", [(("train", index), name) for index, name in pairs], who, note)


def test_a_column_reads_as_a_label_level_of_every_split(data: Path) -> None:
    before = open_dataset(data)
    column = add_labels(data, "reviewed", [(("train", 3), "oak"), ("test-000001", "elm"), (("train", 0), "elm")], "Ann")
    dataset = open_dataset(data)
    assert (column.version, column.level) == (1, "reviewed@1")
    assert dataset.info.levels == before.info.levels | {"reviewed": ["oak", "elm"]}
    assert dataset.split("train").labels["reviewed"].dtype == torch.int64
    assert names(data) == ["elm", None, None, "oak", *[None] * 8]
    assert names(data, "test") == [None, "elm", *[None] * 4]
    assert dataset.own_info == before.info
    assert check_dataset(dataset).is_whole


def test_a_dataset_without_columns_reads_as_before(data: Path) -> None:
    dataset = open_dataset(data)
    assert dataset.columns == {}
    assert list(dataset.split("train").labels) == ["coarse", "fine"]
    assert dataset.own_info == dataset.info


def test_later_changes_win_and_none_removes_a_label(data: Path) -> None:
    label(data, (0, "oak"), (1, "oak"))
    label(data, (1, "elm"), (0, None))
    assert names(data)[:2] == [None, "elm"]
    assert open_dataset(data).info.levels["reviewed"] == ["elm"]


def test_every_change_is_recorded_with_its_author_time_and_note(data: Path) -> None:
    label(data, (0, "oak"), who="Ann", note="first look")
    label(data, (1, "oak"), who="Bob")
    entries = open_dataset(data).columns["reviewed"].entries
    assert [(entry.who, entry.note) for entry in entries] == [("Ann", "first look"), ("Bob", "")]
    assert all(entry.when.endswith("+00:00") for entry in entries)


def test_labels_that_are_there_already_are_not_stored_again(data: Path) -> None:
    label(data, (0, "oak"))
    assert add_labels(data, "reviewed", [(("train", 0), "oak")], "Bob").version == 1


def test_classes_are_renamed_merged_and_removed(data: Path) -> None:
    label(data, (0, "oak"), (1, "elm"), (2, "ash"))
    rename_class(data, "reviewed", "oak", "holm oak", "Ann")
    assert names(data)[:3] == ["holm oak", "elm", "ash"]
    rename_class(data, "reviewed", "elm", "ash", "Ann")
    assert names(data)[:3] == ["holm oak", "ash", "ash"]
    remove_class(data, "reviewed", "ash", "Ann")
    assert names(data)[:3] == ["holm oak", None, None]
    assert open_dataset(data).info.levels["reviewed"] == ["holm oak"]


def test_undo_reverses_the_last_change_that_counts_and_an_undo_can_be_undone(data: Path) -> None:
    label(data, (0, "oak"))
    label(data, (1, "elm"))
    label(data, (2, "ash"))
    undo(data, "reviewed", "Ann")
    assert names(data)[:3] == ["oak", "elm", None]
    undo(data, "reviewed", "Ann")
    assert names(data)[:3] == ["oak", None, None]
    undo(data, "reviewed", "Ann", entry=5)
    assert names(data)[:3] == ["oak", "elm", None]
    undo(data, "reviewed", "Ann", entry=1, note="wrong photo")
    assert names(data)[:3] == [None, "elm", None]
    assert reversals(open_dataset(data).columns["reviewed"].entries) == {1: 7, 3: 4, 5: 6}


def test_an_undone_change_cannot_be_undone_again(data: Path) -> None:
    label(data, (0, "oak"))
    undo(data, "reviewed", "Ann")
    with pytest.raises(InputError, match="1 is undone by entry 2"):
        undo(data, "reviewed", "Ann", entry=1)
    with pytest.raises(InputError, match="every change is undone"):
        undo(data, "reviewed", "Ann")
    with pytest.raises(InputError, match="9 is no change of reviewed; choose 1 to 2"):
        undo(data, "reviewed", "Ann", entry=9)


def test_a_version_always_means_the_same_labels(data: Path) -> None:
    label(data, (0, "oak"))
    label(data, (0, "elm"), (1, "elm"))
    dataset = open_dataset(data).with_levels("reviewed@1")
    assert dataset.info.levels["reviewed@1"] == ["oak"]
    assert dataset.split("train").labels["reviewed@1"][:2].tolist() == [0, -1]
    assert "reviewed" not in dataset.info.levels
    assert open_dataset(data).with_levels("reviewed").info.levels["reviewed"] == ["elm"]
    with pytest.raises(InputError, match="has no version 3; the latest is 2"):
        open_dataset(data).with_levels("reviewed@3")
    with pytest.raises(InputError, match="the part after @ is not the number of a version"):
        open_dataset(data).with_levels("reviewed@new")


def test_levels_of_the_dataset_are_never_replaced(data: Path) -> None:
    with pytest.raises(InputError, match="already has fine labels, which are not replaced; choose another name"):
        add_labels(data, "fine", [(("train", 0), "oak")], "Ann")
    label(data, (0, "oak"))
    (data / "labels" / "reviewed").rename(data / "labels" / "coarse")
    with pytest.raises(InputError, match="the dataset was prepared with coarse labels"):
        open_dataset(data)


@pytest.mark.parametrize("name", ["", "a b", "../up", "all", "x" * 65, "reviewed@1"])
def test_names_that_are_no_level_are_refused(data: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of a label column"):
        add_labels(data, name, [(("train", 0), "oak")], "Ann")
    assert not (data / "labels").exists()


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("nowhere.jpg", "oak")], "nowhere.jpg: no such image in"),
        ([(("train", 12), "oak")], "no image 12 in train"),
        ([(("val", 0), "oak")], "no split 'val'; it has train, test"),
        ([(("train", 0), "oak"), ("train-000000", "elm")], "train-000000: has the two labels 'oak' and 'elm'"),
        ([(("train", 0), "oak\x1b[2J")], "class name: contains control characters"),
        ([(("train", 0), " ")], "class name: begins or ends with a space"),
        ([(("train", 0), "")], "class name: String should have at least 1 character"),
        ([(("train", 0), "x" * 201)], "class name: String should have at most 200 characters"),
        ([], "there are none to assign"),
    ],
)
def test_assignments_that_are_wrong_change_nothing(data: Path, pairs: list, message: str) -> None:
    label(data, (5, "ash"))
    with pytest.raises(InputError) as caught:
        add_labels(data, "reviewed", [(("train", 1), "oak"), *pairs] if pairs else [], "Ann")
    assert message in str(caught.value)
    assert open_dataset(data).columns["reviewed"].version == 1


def test_an_author_is_needed(data: Path) -> None:
    with pytest.raises(InputError, match="who: String should have at least 1 character"):
        add_labels(data, "reviewed", [(("train", 0), "oak")], " ")


def test_too_many_classes_are_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coarsecon.data.labels.columns.MAX_CLASSES", 2)
    with pytest.raises(InputError, match="there would be 3 classes, more than 2"):
        label(data, (0, "a"), (1, "b"), (2, "c"))


def test_an_image_whose_name_is_in_two_splits_needs_its_split(data: Path) -> None:
    for split, count in (("train", 12), ("test", 6)):
        listing = {"names": [f"photos/{i}.jpg" for i in range(count)], "files": None}
        (data / f"{split}.files.json").write_text(json.dumps(listing))
    with pytest.raises(InputError, match=r"photos/1.jpg: 2 images have this name \(train, test\); name the split too"):
        add_labels(data, "reviewed", [("photos/1.jpg", "oak")], "Ann")
    add_labels(data, "reviewed", [(("test", "./photos/1.jpg"), "oak"), ("photos\\7.jpg", "elm")], "Ann")
    assert names(data, "test")[1] == "oak"
    assert names(data)[7] == "elm"


def test_a_column_or_class_that_is_not_there_is_an_error(data: Path) -> None:
    with pytest.raises(InputError, match="no label column 'reviewed'; import a table of labels first"):
        undo(data, "reviewed", "Ann")
    label(data, (0, "oak"))
    with pytest.raises(InputError, match="no label column 'other'; it has reviewed"):
        find_column(open_dataset(data), "other")
    with pytest.raises(InputError, match="labels reviewed: no class 'elm'; it has oak"):
        rename_class(data, "reviewed", "elm", "ash", "Ann")


def test_writers_at_the_same_time_lose_no_label(data: Path) -> None:
    def write(first: int) -> None:
        for index in range(first, 12, 3):
            label(data, (index, f"class {index}"))

    threads = [Thread(target=write, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(data) == [f"class {index}" for index in range(12)]
    assert open_dataset(data).columns["reviewed"].version == 12


def test_the_state_is_that_of_a_naive_replay(data: Path) -> None:
    rng = np.random.default_rng(0)
    classes = ["a", "b", "c", "d"]
    label(data, (0, "a"), (1, "b"))
    for _ in range(60):
        present = open_dataset(data).info.levels["reviewed"]
        kind = rng.choice(["assign", "assign", "rename", "remove", "undo"])
        if kind == "assign":
            label(data, *((int(i), rng.choice([*classes, None])) for i in rng.permutation(12)[:4]))
        elif kind == "rename" and present:
            rename_class(data, "reviewed", present[0], rng.choice(classes), "Ann")
        elif kind == "remove" and present:
            remove_class(data, "reviewed", present[-1], "Ann")
        elif kind == "undo":
            entries = open_dataset(data).columns["reviewed"].entries
            left = [number for number in range(1, len(entries) + 1) if number not in reversals(entries)]
            undo(data, "reviewed", "Ann", entry=int(rng.choice(left)))
        assert naive([entry.change for entry in open_dataset(data).columns["reviewed"].entries]) == names(data)


def naive(changes: list) -> list[str | None]:
    """The class names of the 12 training images, by replaying changes one image at a time."""
    reversed_: set[int] = set()
    for number in range(len(changes), 0, -1):
        if changes[number - 1].kind == "undo" and number not in reversed_:
            reversed_.add(changes[number - 1].entry)
    found: dict[int, str] = {}
    for number, change in enumerate(changes, 1):
        if number in reversed_:
            continue
        if change.kind == "assign":
            for index, label_ in zip(change.images["train"], change.labels["train"], strict=True):
                found.pop(index, None)
                if label_ >= 0:
                    found[index] = change.classes[label_]
        elif change.kind == "rename":
            found = {index: change.new if name == change.old else name for index, name in found.items()}
        elif change.kind == "remove":
            found = {index: name for index, name in found.items() if name != change.name}
    return [found.get(index) for index in range(12)]


def test_a_replay_without_entries_knows_no_label() -> None:
    classes, labels = replay([], {"train": 3})
    assert classes == []
    assert labels["train"].tolist() == [-1, -1, -1]
