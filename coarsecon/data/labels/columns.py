"""Change the label columns of a prepared dataset: every change is an entry of a journal, and can be undone."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from coarsecon.data.formats.names import canonical
from coarsecon.data.labels.images import ImageFinder, ImageKey, Place
from coarsecon.data.prepared.label_columns import (
    LabelColumn,
    column_folder,
    is_column_name,
    make_column,
    parse_journal,
)
from coarsecon.data.prepared.label_entries import MAX_COLUMN_NAME, Assign, Change, Entry, Header, Remove, Rename, Undo
from coarsecon.data.prepared.label_journal import append_lines, read_journal
from coarsecon.data.prepared.store import PreparedDataset, open_dataset
from coarsecon.errors import InputError
from coarsecon.runtime.files import cannot_write
from coarsecon.runtime.journals import utc_now
from coarsecon.runtime.locks import waiting_lock

MAX_CLASSES = 2**16
"""Maximum number of classes of a label column."""

RESERVED = ("all", "both", "images")
"""Names that settings or files use for something else."""

Dataset = Path | str | PreparedDataset


def add_labels(
    dataset: Dataset, name: str, assignments: Iterable[tuple[ImageKey, str | None]], who: str, note: str = ""
) -> LabelColumn:
    """Assign classes to images in the label column `name`, which is made if there is none.

    Args:
        dataset: A prepared dataset, or its folder.
        name: Name of the column, which becomes a label level.
        assignments: Images and their classes. An image is a path as in the dataset, or a pair of a split and an index
            or path. The class None removes the label.
        who: Name of the person or program that assigns the labels.
        note: Text that is stored with the change.

    Returns:
        The column with these labels. If all of them are there already, nothing is stored.

    Raises:
        InputError: An image is unknown or ambiguous, or has two classes; a name is invalid; there are too many classes;
            or the dataset has its own labels of that name.
        CoarseconError: The journal cannot be written.

    Example:
        >>> add_labels("data/birds", "reviewed", [("photos/1.jpg", "robin")], who="Ann")  # doctest: +SKIP
    """
    opened = open_prepared(dataset)
    finder = ImageFinder(opened)
    chosen: dict[Place, str | None] = {}
    for key, text in assignments:
        place, label = finder.find(key), None if text is None else canonical(text)
        if chosen.setdefault(place, label) != label:
            raise InputError(
                opened.split(place[0]).names[place[1]],
                f"has the two labels {chosen[place] or 'none'!r} and {label or 'none'!r}",
                "keep one of them",
            )
    if not chosen:
        raise InputError("labels", "there are none to assign", "label at least one image")
    return change_labels(opened, name, make_assignment(chosen), who, note)


def undo(dataset: Dataset, name: str, who: str, entry: int | None = None, note: str = "") -> LabelColumn:
    """Reverse a change of a label column, by default the last one that is neither reversed nor an undo.

    Reversing an undo restores what it reversed. Later changes stay.

    Raises:
        InputError: There is no such column or entry, or it is reversed already.
    """
    return change_labels(dataset, name, partial(_undo, entry=entry), who, note)


def rename_class(dataset: Dataset, name: str, old: str, new: str, who: str, note: str = "") -> LabelColumn:
    """Rename a class of a label column; if there is a class called `new`, the two are merged.

    Raises:
        InputError: There is no such column or class, or the new name is invalid.
    """

    def rename(column: LabelColumn) -> Rename:
        return Rename(old=_known_class(column, old), new=canonical(new))

    return change_labels(dataset, name, rename, who, note)


def remove_class(dataset: Dataset, name: str, class_name: str, who: str, note: str = "") -> LabelColumn:
    """Remove a class of a label column: its images have no label afterwards.

    Raises:
        InputError: There is no such column or class.
    """

    def remove(column: LabelColumn) -> Remove:
        return Remove(name=_known_class(column, class_name))

    return change_labels(dataset, name, remove, who, note)


def find_column(dataset: PreparedDataset, name: str) -> LabelColumn:
    """Return a label column; raises InputError if there is none of this name."""
    if name not in dataset.columns:
        known = f"it has {', '.join(dataset.columns)}" if dataset.columns else "import a table of labels first"
        raise InputError(dataset.root, f"no label column {name!r}", known)
    return dataset.columns[name]


def reversals(entries: Iterable[Entry]) -> dict[int, int]:
    """Return the entry that reverses each reversed entry, both numbered from 1."""
    changes = [entry.change for entry in entries]
    found: dict[int, int] = {}
    for number in range(len(changes), 0, -1):
        change = changes[number - 1]
        if isinstance(change, Undo) and number not in found:
            found[change.entry] = number
    return found


def change_labels(
    dataset: Dataset, name: str, change: Change | Callable[[LabelColumn], Change], who: str, note: str = ""
) -> LabelColumn:
    """Append a change to the journal of a label column, and return the column with it.

    A change that depends on the present labels is a function of the column. An assignment that changes no label
    is not stored.

    Raises:
        InputError: The change is invalid, or there is no column that a function needs.
        CoarseconError: The journal cannot be written.
    """
    opened = open_prepared(dataset)
    check_name(opened, name)
    folder, info = column_folder(opened.root, name), opened.own_info
    if callable(change):
        find_column(opened, name)
    try:
        folder.parent.mkdir(exist_ok=True)
        with waiting_lock(folder.with_name(f".{name}.lock")):
            journal = read_journal(folder)
            before = make_column(name, parse_journal(journal, info), info, journal.file)
            entry = _entry(change(before) if callable(change) else change, who, note)
            column = make_column(name, [*before.entries, entry], info, journal.file)
            if len(column.classes) > MAX_CLASSES:
                problem = f"there would be {len(column.classes):,} classes, more than {MAX_CLASSES:,}"
                raise InputError(f"labels {name}", problem, "check that the labels are names of classes")
            if before.entries and isinstance(entry.change, Assign) and _is_equal(before, column):
                append_lines(journal, [])  # acknowledge what an interrupted command has written
                return before
            lines = [] if journal.lines else [Header(splits=info.splits)]
            append_lines(journal, [line.model_dump_json().encode() for line in [*lines, entry]])
            return column
    except ValidationError as error:
        raise _invalid(error) from error
    except OSError as error:
        raise cannot_write(folder, error) from error


def _entry(change: Change, who: str, note: str) -> Entry:
    now = utc_now()
    return Entry(who=who.strip(), when=now, note=note.strip(), change=change)


def _undo(column: LabelColumn, entry: int | None) -> Undo:
    reversed_by = reversals(column.entries)
    if entry is None:
        last = [number for number, each in enumerate(column.entries, 1)
                if number not in reversed_by and not isinstance(each.change, Undo)]  # fmt: skip
        if not last:
            raise InputError(f"labels {column.name}", "every change is undone", "choose the entry of an undo")
        entry = last[-1]
    if not 1 <= entry <= column.version:
        raise InputError("entry", f"{entry} is no change of {column.name}", f"choose 1 to {column.version}")
    if entry in reversed_by:
        raise InputError("entry", f"{entry} is undone by entry {reversed_by[entry]}", "choose another one")
    return Undo(entry=entry)


def _is_equal(one: LabelColumn, other: LabelColumn) -> bool:
    return one.classes == other.classes and all(
        bool((labels == other.labels[split]).all()) for split, labels in one.labels.items()
    )


def make_assignment(chosen: Mapping[Place, str | None]) -> Assign:
    """Return the change that assigns classes to images; None removes a label.

    Raises:
        InputError: The name of a class is invalid.
    """
    classes = list(dict.fromkeys(label for label in chosen.values() if label is not None))
    numbers: dict[str | None, int] = {None: -1, **{label: number for number, label in enumerate(classes)}}
    images: dict[str, list[int]] = {}
    labels: dict[str, list[int]] = {}
    for (split, index), label in sorted(chosen.items(), key=lambda item: item[0]):
        images.setdefault(split, []).append(index)
        labels.setdefault(split, []).append(numbers[label])
    try:
        return Assign(classes=classes, images=images, labels=labels)
    except ValidationError as error:
        raise _invalid(error) from error


def check_name(dataset: PreparedDataset, name: str) -> None:
    """Raise InputError if a label column of a dataset cannot have this name."""
    if not is_column_name(name) or name in RESERVED:
        problem = f"{name[:80]!r} cannot be the name of a label column"
        remedy = f"use 1 to {MAX_COLUMN_NAME} letters, digits, - and _, but not {', '.join(RESERVED)}"
        raise InputError("name", problem, remedy)
    if name in dataset.own_info.levels:
        problem = f"{dataset.root} already has {name} labels, which are not replaced"
        raise InputError("name", problem, "choose another name")


def _known_class(column: LabelColumn, name: str) -> str:
    if canonical(name) not in column.classes:
        raise InputError(f"labels {column.name}", f"no class {name[:80]!r}", f"it has {', '.join(column.classes[:20])}")
    return canonical(name)


def _invalid(error: ValidationError) -> InputError:
    """Return the error for a text that an entry cannot hold."""
    first = error.errors()[0]
    kinds = [str(part) for part in first["loc"] if isinstance(part, str) and part not in ("change", "assign")]
    given = first.get("input")
    shown = f" ({given[:60]!r})" if isinstance(given, str) else ""
    subject = {"classes": "class name", "old": "class name", "new": "class name"}.get(kinds[0] if kinds else "")
    return InputError(subject or (kinds[0] if kinds else "labels"), first["msg"].removeprefix("Value error, ") + shown)


def open_prepared(dataset: Dataset) -> PreparedDataset:
    """Return a prepared dataset, opened if its folder is given."""
    return dataset if isinstance(dataset, PreparedDataset) else open_dataset(dataset)


def describe(change: Change) -> str:
    """Return a change in words."""
    if isinstance(change, Undo):
        return f"undo of {change.entry}"
    if isinstance(change, Rename):
        return f"rename {change.old} to {change.new}"
    if isinstance(change, Remove):
        return f"remove {change.name}"
    labels = [label for column in change.labels.values() for label in column]
    removed = labels.count(-1)
    classes = len(set(labels) - {-1})
    parts = [f"label {len(labels) - removed:,} images of {classes:,} class{'es' * (classes != 1)}"] * (classes > 0)
    return " and ".join([*parts, *[f"remove the labels of {removed:,} images"] * (removed > 0)])


def compare(before: LabelColumn | None, after: LabelColumn) -> dict[str, int]:
    """Count the images whose labels were added, changed or removed between two versions of a column."""
    counts = {"added": 0, "changed": 0, "removed": 0}
    for split, labels in after.labels.items():
        new = _class_names(after, split)
        old = [None] * len(labels) if before is None else _class_names(before, split)
        for one, other in zip(old, new, strict=True):
            if one != other:
                counts["added" if one is None else "removed" if other is None else "changed"] += 1
    return counts


def _class_names(column: LabelColumn, split: str) -> list[str | None]:
    return [column.classes[label] if label >= 0 else None for label in column.labels[split].tolist()]
