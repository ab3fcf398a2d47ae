"""Schemas of the journal of a label column: who changed which labels, when, and why."""

import unicodedata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from coarsecon.data.prepared.label_journal import REMEDY
from coarsecon.data.prepared.schema import FORMAT_VERSION, MAX_COUNT, DatasetInfo, Name, Record, SplitInfo
from coarsecon.errors import InputError

MAX_CLASS_NAME, MAX_WHO, MAX_NOTE = 200, 200, 2_000
"""Maximum lengths of texts in characters."""

MAX_COLUMN_NAME = 64
"""Maximum length of the name of a label column in characters."""


def _printable(text: str) -> str:
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text):
        raise ValueError("contains control characters")
    return text


def _trimmed(text: str) -> str:
    if text != text.strip():
        raise ValueError("begins or ends with a space")
    return text


ClassName = Annotated[
    str, Field(min_length=1, max_length=MAX_CLASS_NAME), AfterValidator(_printable), AfterValidator(_trimmed)
]
Index = Annotated[int, Field(ge=0, lt=MAX_COUNT)]


class Assign(Record):
    """Labels of images: those at `images[split]` get the classes `classes[labels[split]]`; -1 removes the label."""

    kind: Literal["assign"] = "assign"
    classes: list[ClassName]
    images: dict[Name, list[Index]]
    labels: dict[Name, list[int]]


class Rename(Record):
    """Another name of a class; if there is a class of that name, the two are merged."""

    kind: Literal["rename"] = "rename"
    old: ClassName
    new: ClassName


class Remove(Record):
    """Removal of a class: its images have no label afterwards."""

    kind: Literal["remove"] = "remove"
    name: ClassName


class Undo(Record):
    """Reversal of an earlier entry; reversing an undo restores what it reversed."""

    kind: Literal["undo"] = "undo"
    entry: int = Field(ge=1)


Change = Assign | Rename | Remove | Undo


class Entry(Record):
    """One change of the labels: who made it, when (ISO 8601), and a note."""

    who: Annotated[str, Field(min_length=1, max_length=MAX_WHO), AfterValidator(_printable), AfterValidator(_trimmed)]
    when: Annotated[str, Field(max_length=40), AfterValidator(_printable)]
    note: Annotated[str, Field(max_length=MAX_NOTE), AfterValidator(_printable)] = ""
    change: Change = Field(discriminator="kind")


class Header(Record):
    """First line of a journal: the images that its entries number."""

    format_version: int = Field(FORMAT_VERSION, ge=1, le=FORMAT_VERSION)
    splits: dict[Name, SplitInfo]


def parse_header(line: bytes, file: Path, info: DatasetInfo) -> Header:
    """Read the first line of a journal.

    Raises:
        InputError: It is invalid, or the labels are those of other images.
    """
    try:
        header = Header.model_validate_json(line)
    except ValidationError as error:
        raise InputError(f"{file}, line 1", _problem(error), REMEDY) from error
    if header.splits != info.splits:
        problem = "its labels belong to other images than those of this dataset"
        raise InputError(file, problem, "export them with the former dataset, and import the table here")
    return header


def parse_entry(line: bytes, file: Path, number: int) -> Entry:
    """Read entry `number` (from 1), which is in the line after it; raises InputError if it is invalid."""
    try:
        return Entry.model_validate_json(line)
    except ValidationError as error:
        raise InputError(f"{file}, line {number + 1}", _problem(error), REMEDY) from error


def _problem(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg'].removeprefix('Value error, ')}"
