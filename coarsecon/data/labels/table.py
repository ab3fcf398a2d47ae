"""Exchange label columns as tables with the columns path, label and split."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from coarsecon.data.formats.columns import CLASSES, ColumnChoice
from coarsecon.data.formats.missing import LabelColumns, is_missing
from coarsecon.data.formats.tables import read_table
from coarsecon.data.labels.columns import Dataset, change_labels, check_name, make_assignment, open_prepared
from coarsecon.data.labels.images import ImageFinder, Place
from coarsecon.data.prepared.fine_names import written_names
from coarsecon.data.prepared.label_columns import LabelColumn
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter

LABEL = "label"
"""Name of the column of labels that is preferred, in tables that have several."""


class LabelRow(NamedTuple):
    """One image of a table: its place for messages, its path and split ("" if the table has none), and its label."""

    where: str
    path: str
    split: str
    label: str


def import_labels(
    dataset: Dataset,
    table: Path | str,
    name: str,
    who: str,
    note: str = "",
    *,
    label: str | None = None,
    replace: bool = False,
    skip_unknown: bool = False,
    reporter: Reporter | None = None,
) -> LabelColumn:
    """Assign the labels of a table to images, in the label column `name`; all of them, or none after an error.

    Args:
        dataset: A prepared dataset, or its folder.
        table: A CSV, TSV or Parquet table with columns of paths and labels, and optionally of splits. Paths are those
            of the dataset. Images with an empty label keep the one they have.
        name: Name of the label column, which is made if there is none.
        who: Name of the person or program that assigned the labels.
        note: Text that is stored with the change.
        label: Column of the labels; by default `label`, else that of fine labels. Fine classes of several coarse ones
            that have the same name are written as `coarse/name`, if the table has coarse labels.
        replace: Remove the labels of images that have none in the table.
        skip_unknown: Pass over rows whose images are not in the dataset.
        reporter: Receives messages.

    Returns:
        The column with these labels.

    Raises:
        InputError: The table cannot be read; an image is not in the dataset, ambiguous, or listed with two labels;
            there are no labels; or a name is invalid: see `add_labels`.
        CoarseconError: The journal cannot be written.

    Example:
        >>> import_labels("data/birds", "reviewed.csv", "reviewed", who="Ann")  # doctest: +SKIP
    """
    opened, reporter = open_prepared(dataset), reporter or Reporter()
    check_name(opened, name)
    chosen = _places(opened, read_labels(Path(table), label, reporter), skip_unknown, reporter)
    if not any(found for found in chosen.values()):
        raise InputError(table, "it has no labels", "fill its column of labels, or name another one with label")
    if replace:
        labels = {place: found or None for place, found in chosen.items()}
        every = ((split, index) for split, images in opened.splits.items() for index in range(len(images)))
        assignment: dict[Place, str | None] = {**dict.fromkeys(every), **labels}
    else:
        assignment = {place: found for place, found in chosen.items() if found}
    return change_labels(opened, name, make_assignment(assignment), who, note)


def read_labels(table: Path, label: str | None = None, reporter: Reporter = Reporter()) -> list[LabelRow]:
    """Return the rows of a table of labels; missing labels are "".

    Raises:
        InputError: The table cannot be read, or lacks a column.
    """
    opened = read_table(table)
    choice = ColumnChoice(table, opened.columns, [label])
    path_column = choice.require("path", choice.choose("path"))
    split_column = choice.choose("split")
    own = label or (LABEL if LABEL in opened.columns else None)
    column = choice.choose("fine", own, more=CLASSES)
    if column is None:
        problem = f"no column of labels; it has {', '.join(opened.columns)}"
        raise InputError(table, problem, "name it with label")
    coarse_column = choice.choose("coarse") if own is None else None
    cells = LabelColumns()
    rows = []
    parents = []
    for where, row in opened.rows:
        if is_missing(row[path_column]):
            raise InputError(where, f"the path in the column {path_column} is missing")
        split = row[split_column] if split_column else ""
        rows.append(LabelRow(where, row[path_column], split, cells.read(column, row[column])))
        parents.append(cells.label(row[coarse_column]) if coarse_column else "")
    source = [f"labels from the column {column!r}"] * (column not in (LABEL, label))
    for text in (*opened.notes, *source, *cells.notes()):
        reporter.info(text)
    return _written(rows, parents) if coarse_column else rows


def label_rows(dataset: PreparedDataset, level: str, *, unlabeled: bool = False) -> Iterator[tuple[str, str, str]]:
    """Yield the path, the label and the split of every image with a label of a level.

    Args:
        dataset: A prepared dataset.
        level: Name of a label level; `NAME@3` is a label column as it was after three changes.
        unlabeled: Yield images without a label as well, with the label "".

    Raises:
        InputError: There is no such level.
    """
    dataset = dataset.with_levels(*dataset.columns, level)
    if level not in dataset.info.levels:
        known = ", ".join(dataset.info.levels)
        raise InputError(dataset.root, f"has no {level!r} labels", f"it has {known}")
    classes: Sequence[str] = dataset.info.levels[level]
    for split, images in dataset.splits.items():
        for path, label in zip(images.names, images.labels[level].tolist(), strict=True):
            if label >= 0 or unlabeled:
                yield path, classes[label] if label >= 0 else "", split


def _written(rows: list[LabelRow], parents: list[str]) -> list[LabelRow]:
    """Return rows of fine labels with unambiguous class names."""
    pairs = sorted({(parent, row.label) for row, parent in zip(rows, parents, strict=True) if row.label})
    names = dict(zip(pairs, written_names(pairs), strict=True))
    return [row._replace(label=names.get((parent, row.label), "")) for row, parent in zip(rows, parents, strict=True)]


def _places(dataset: PreparedDataset, rows: list[LabelRow], skip_unknown: bool, reporter: Reporter) -> dict[Place, str]:
    """Return the label of each image of a table, "" where it is missing."""
    finder = ImageFinder(dataset)
    chosen: dict[Place, str] = {}
    seen: dict[Place, str] = {}
    unknown: list[LabelRow] = []
    for row in rows:
        key = (row.split, row.path) if row.split else row.path
        if not finder.knows(key):
            unknown.append(row)
            continue
        try:
            place = finder.find(key)
        except InputError as error:
            raise InputError(row.where, f"{error.subject}: {error.problem}", error.hint) from None
        if chosen.setdefault(place, row.label) != row.label:
            both = f"{chosen[place] or 'no label'!r} at {seen[place]}, {row.label or 'no label'!r} here"
            raise InputError(row.where, f"{row.path} has two labels: {both}", "keep one of them")
        seen.setdefault(place, row.where)
    if unknown:
        count = f"{len(unknown):,} of {len(rows):,} images are not in {dataset.root}, the first: {unknown[0].path}"
        if not skip_unknown:
            remedy = "give the paths as in the dataset, or set skip_unknown to pass over such rows"
            raise InputError(unknown[0].where, count, remedy)
        reporter.info(f"passed over {count}")
    return chosen
