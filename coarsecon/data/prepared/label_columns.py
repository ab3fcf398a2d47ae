"""Label columns that were added to a prepared dataset: their labels are the replay of a journal."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coarsecon.data.prepared.label_entries import (
    MAX_COLUMN_NAME,
    Assign,
    Entry,
    Remove,
    Rename,
    Undo,
    parse_entry,
    parse_header,
)
from coarsecon.data.prepared.label_journal import REMEDY, Journal, read_journal
from coarsecon.data.prepared.schema import LEVEL_NAME, DatasetInfo
from coarsecon.errors import InputError
from coarsecon.runtime.files import is_inside

FOLDER = "labels"
"""Folder of the label columns inside that of the dataset."""

Labels = dict[str, NDArray[np.int64]]
"""Labels [N] by split; -1 is unknown."""


@dataclass(frozen=True)
class LabelColumn:
    """A label column at one version.

    Attributes:
        name: Name of its level.
        entries: The changes up to this version, which is their number.
        classes: Names of the classes that have images, in the order in which they were first assigned.
        labels: int64 [N] by split; -1 is unknown.
        note: A sentence on damage of the journal that costs no acknowledged entry; "" if there is none.
    """

    name: str
    entries: list[Entry]
    classes: list[str]
    labels: dict[str, Tensor]
    note: str = ""

    @property
    def version(self) -> int:
        """Number of changes so far."""
        return len(self.entries)

    @property
    def level(self) -> str:
        """The name with the version, such as `reviewed@3`, which always means the same labels."""
        return f"{self.name}@{self.version}"

    def fingerprint(self, split: str) -> str:
        """Return a digest of the class names and the labels of a split."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        digest.update(self.labels[split].numpy().tobytes())
        return digest.hexdigest()[:12]


def column_names(root: Path) -> list[str]:
    """Return the sorted names of the label columns of the dataset in the folder `root`; files are ignored."""
    folder = root / FOLDER
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(folder, f"cannot be read ({error.strerror})", REMEDY) from error
    return sorted(name for name in names if is_column_name(name))


def is_column_name(name: str) -> bool:
    """Return whether a label column can have this name."""
    return bool(re.fullmatch(LEVEL_NAME, name)) and len(name) <= MAX_COLUMN_NAME


def read_columns(root: Path, info: DatasetInfo) -> dict[str, LabelColumn]:
    """Read every label column of a dataset; those without entries are left out.

    Raises:
        InputError: A column is damaged, belongs to other images, or has the name of a level of the dataset.
    """
    found = {name: column for name in column_names(root) if (column := read_column(root, info, name)) is not None}
    if taken := sorted(found.keys() & info.levels.keys()):
        problem = f"the dataset was prepared with {taken[0]} labels"
        raise InputError(root / FOLDER / taken[0], problem, "rename the folder: labels of the dataset are not replaced")
    return found


def read_column(root: Path, info: DatasetInfo, name: str, version: int | None = None) -> LabelColumn | None:
    """Read a label column at a version (default: the latest); None if it has no entries.

    Raises:
        InputError: It is damaged or belongs to other images, or there is no such version.
    """
    if not is_column_name(name):
        return None
    folder = column_folder(root, name)
    journal = read_journal(folder)
    entries = parse_journal(journal, info)
    if version is not None and not 1 <= version <= len(entries):
        raise InputError(folder, f"has no version {version}", f"the latest is {len(entries)}")
    if not entries:
        return None
    return make_column(name, entries[:version], info, journal.file, journal.note)


def column_folder(root: Path, name: str) -> Path:
    """Return the folder of a label column; raises InputError if it leads out of the dataset."""
    folder = root / FOLDER / name
    if not is_inside(folder, root):
        raise InputError(folder, "leads out of the dataset", REMEDY)
    return folder


def parse_journal(journal: Journal, info: DatasetInfo) -> list[Entry]:
    """Return the entries of a journal; raises InputError as `parse_header` and `parse_entry`."""
    if not journal.lines:
        return []
    parse_header(journal.lines[0], journal.file, info)
    return [parse_entry(line, journal.file, number) for number, line in enumerate(journal.lines[1:], 1)]


def make_column(name: str, entries: Sequence[Entry], info: DatasetInfo, file: Path, note: str = "") -> LabelColumn:
    """Replay the entries of a journal.

    Raises:
        InputError: An entry refers to an image or an entry that does not exist.
    """
    for number, entry in enumerate(entries, 1):
        if problem := _problem(entry, number, info):
            raise InputError(f"{file}, line {number + 1}", problem, REMEDY)
    classes, labels = replay(entries, {split: part.count for split, part in info.splits.items()})
    return LabelColumn(
        name, list(entries), classes, {split: torch.from_numpy(column) for split, column in labels.items()}, note
    )


def replay(entries: Sequence[Entry], counts: Mapping[str, int]) -> tuple[list[str], Labels]:
    """Return the names of the classes that have images, in the order of their first assignment, and the labels.

    Args:
        entries: Valid entries.
        counts: Number of images of each split.
    """
    labels: Labels = {split: np.full(count, -1, np.int64) for split, count in counts.items()}
    names: list[str] = []
    numbers: dict[str, int] = {}
    for change in (entry.change for entry, active in zip(entries, _active(entries), strict=True) if active):
        if isinstance(change, Assign):
            for name in change.classes:
                if name not in numbers:
                    numbers[name] = len(names)
                    names.append(name)
            own = np.array([*(numbers[name] for name in change.classes), -1], np.int64)
            for split, images in change.images.items():
                labels[split][images] = own[change.labels[split]]
        elif isinstance(change, Rename) and change.old in numbers and change.old != change.new:
            number = numbers.pop(change.old)
            names[number] = change.new
            _replace(labels, number, numbers.setdefault(change.new, number))
        elif isinstance(change, Remove) and change.name in numbers:
            _replace(labels, numbers.pop(change.name), -1)
    return _without_empty(names, labels)


def _active(entries: Sequence[Entry]) -> list[bool]:
    """Return for each entry whether it counts: no later entry that counts reverses it."""
    active = [True] * len(entries)
    for number in range(len(entries) - 1, -1, -1):
        change = entries[number].change
        if active[number] and isinstance(change, Undo):
            active[change.entry - 1] = False
    return active


def _replace(labels: Labels, old: int, new: int) -> None:
    for column in labels.values():
        column[column == old] = new


def _without_empty(names: list[str], labels: Labels) -> tuple[list[str], Labels]:
    used = np.unique(np.concatenate(list(labels.values())))
    used = used[used >= 0]
    places = np.full(len(names) + 1, -1, np.int64)  # the last one is the place of -1
    places[used] = np.arange(len(used))
    return [names[number] for number in used], {split: places[column] for split, column in labels.items()}


def _problem(entry: Entry, number: int, info: DatasetInfo) -> str:
    """Return what is wrong with entry `number` for a dataset, "" if nothing is."""
    change = entry.change
    if isinstance(change, Undo):
        return "" if change.entry < number else f"reverses entry {change.entry}, which is not an earlier one"
    if not isinstance(change, Assign):
        return ""
    if change.images.keys() != change.labels.keys() or not change.images.keys() <= info.splits.keys():
        return "its splits are not those of the dataset"
    if len(set(change.classes)) < len(change.classes):
        return "lists a class twice"
    for split, images in change.images.items():
        labels, count = change.labels[split], info.splits[split].count
        if len(labels) != len(images) or len(set(images)) < len(images):
            return f"its images and labels of {split} do not match"
        if images and max(images) >= count:
            return f"image {max(images)} of {split}, which has {count:,} images"
        if labels and not -1 <= min(labels) <= max(labels) < len(change.classes):
            return f"labels of {split} outside -1 to {len(change.classes) - 1}"
    return ""
