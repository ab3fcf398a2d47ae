"""Add labels to a prepared dataset, exchange them as tables, and undo changes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coarsecon.cli.console import JsonFile, closing, emit_json, table
from coarsecon.cli.options import Who, user_name
from coarsecon.cli.processes import single_process
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.errors import InputError

if TYPE_CHECKING:
    from coarsecon.data.prepared.label_columns import LabelColumn
    from coarsecon.data.prepared.store import PreparedDataset

app = typer.Typer(help=__doc__, no_args_is_help=True)

Data = Annotated[Path, typer.Argument(metavar="DATA", help="Prepared dataset.")]
Column = Annotated[str, typer.Argument(metavar="NAME", help="Name of a label column.")]
Note = Annotated[str, typer.Option(help="Text that is stored with the change.", show_default=False)]

SUFFIXES = (".csv", ".tsv", ".parquet")
COLUMNS = ("path", "label", "split")


@app.command("import")
@single_process
def import_(
    data: Data,
    file: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV, TSV or Parquet table of paths and labels.")],
    name: Annotated[str, typer.Option(help="Label column to write to; it is made if there is none.")],
    who: Who = None,
    note: Note = "",
    label: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            show_default=False,
            help="Column of the labels in the table. Default: label, else that of fine labels.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove the labels of images that have none in the table.")
    ] = False,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Pass over rows whose images are not in the dataset.")
    ] = False,
    json: JsonFile = None,
) -> None:
    """Read labels from a table into a label column. Images with an empty label keep theirs."""
    from coarsecon.data.labels.table import import_labels
    from coarsecon.data.prepared.store import open_dataset

    dataset = open_dataset(data)
    column = import_labels(
        dataset, file, name, user_name(who), note,
        label=label, replace=replace, skip_unknown=skip_unknown, reporter=ConsoleReporter(),
    )  # fmt: skip
    _report(dataset, column, json)


@app.command("export")
@single_process
def export(
    data: Data,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Label level; NAME@3 is a label column at version 3.")],
    out: Annotated[
        Path | None, typer.Option(help="Table to write: CSV, TSV or Parquet. Default: NAME.csv.", show_default=False)
    ] = None,
    unlabeled: Annotated[bool, typer.Option("--unlabeled", help="List images without a label as well.")] = False,
) -> None:
    """Write the labels of a level as a table with the columns path, label and split."""
    from coarsecon.data.labels.table import label_rows
    from coarsecon.data.prepared.store import open_dataset

    target = out or Path(f"{name}.csv")
    if target.suffix.lower() not in SUFFIXES:
        raise InputError(target, "its suffix names no known format", f"write to a file with {', '.join(SUFFIXES)}")
    rows = list(label_rows(open_dataset(data), name, unlabeled=unlabeled))
    _write(target, rows)
    ConsoleReporter().info(f"{len(rows):,} images")
    closing([target], [])


@app.command("ls")
@single_process
def ls(data: Data, json: JsonFile = None) -> None:
    """List the label levels of a dataset: those it was prepared with, and label columns with their versions."""
    from coarsecon.data.prepared.store import open_dataset

    dataset = open_dataset(data)
    found = [_level(dataset, level) for level in dataset.info.levels]
    if json:
        emit_json(found, json)
        return
    rows = [
        [row["name"], str(row["version"] or ""), f"{row['classes']:,}",
         ", ".join(f"{split} {count:,}" for split, count in row["labeled"].items() if count), row["who"], row["when"]]
        for row in found
    ]  # fmt: skip
    table(f"Labels of {dataset.root}", ["level", "version", "classes", "labeled images", "last change by", "at"], rows,
          numbers=False)  # fmt: skip


@app.command("log")
@single_process
def log(data: Data, name: Column, json: JsonFile = None) -> None:
    """List the changes of a label column: who made each, when, and which an undo has reversed."""
    from coarsecon.data.labels.columns import describe, find_column, reversals
    from coarsecon.data.prepared.store import open_dataset

    column = find_column(open_dataset(data), name)
    undone = reversals(column.entries)
    found = [
        {"entry": number, "when": entry.when, "who": entry.who, "what": describe(entry.change), "note": entry.note,
         "undone_by": undone.get(number)}
        for number, entry in enumerate(column.entries, 1)
    ]  # fmt: skip
    if json:
        emit_json(found, json)
        return
    rows = []
    for row in found:
        reversed_by = f" (undone by {row['undone_by']})" if row["undone_by"] else ""
        rows.append([str(row["entry"]), row["when"], row["who"], f"{row['what']}{reversed_by}", row["note"]])
    table(f"Changes of {name}", ["entry", "when (UTC)", "who", "what", "note"], rows, numbers=False)


@app.command("undo")
@single_process
def undo(
    data: Data,
    name: Column,
    entry: Annotated[
        int | None, typer.Argument(metavar="[ENTRY]", help="Entry of the log. Default: the last that counts.")
    ] = None,
    who: Who = None,
    note: Note = "",
    json: JsonFile = None,
) -> None:
    """Reverse a change of a label column; reversing an undo restores the change. Later changes stay."""
    from coarsecon.data.labels.columns import undo as undo_change
    from coarsecon.data.prepared.store import open_dataset

    dataset = open_dataset(data)
    _report(dataset, undo_change(dataset, name, user_name(who), entry, note), json)


@app.command("rename")
@single_process
def rename(
    data: Data, name: Column, old: str, new: str, who: Who = None, note: Note = "", json: JsonFile = None
) -> None:
    """Rename a class of a label column; if there is a class of the new name, the two are merged."""
    from coarsecon.data.labels.columns import rename_class
    from coarsecon.data.prepared.store import open_dataset

    dataset = open_dataset(data)
    _report(dataset, rename_class(dataset, name, old, new, user_name(who), note), json)


@app.command("remove")
@single_process
def remove(
    data: Data,
    name: Column,
    class_: Annotated[str, typer.Argument(metavar="CLASS", help="Class whose images lose their label.")],
    who: Who = None,
    note: Note = "",
    json: JsonFile = None,
) -> None:
    """Remove a class of a label column; its images have no label afterwards."""
    from coarsecon.data.labels.columns import remove_class
    from coarsecon.data.prepared.store import open_dataset

    dataset = open_dataset(data)
    _report(dataset, remove_class(dataset, name, class_, user_name(who), note), json)


def _level(dataset: "PreparedDataset", level: str) -> dict[str, Any]:
    column = dataset.columns.get(level)
    last = column.entries[-1] if column else None
    return {
        "name": level, "version": column.version if column else None, "classes": len(dataset.info.levels[level]),
        "labeled": {split: int((images.labels[level] >= 0).sum()) for split, images in dataset.splits.items()},
        "who": last.who if last else "", "when": last.when if last else "",
    }  # fmt: skip


def _report(before: "PreparedDataset", column: "LabelColumn", json: str | None) -> None:
    """Show what a change did to the labels, and the labels that there are."""
    from coarsecon.data.labels.columns import compare

    old = before.columns.get(column.name)
    changes = compare(old, column)
    labeled = sum(int((labels >= 0).sum()) for labels in column.labels.values())
    if json:
        facts = {"name": column.name, "version": column.version, "labeled": labeled, "classes": column.classes}
        emit_json({**facts, **changes}, json)
    if json != "-":
        text = ", ".join(f"{count:,} {what}" for what, count in changes.items() if count) or "no label changed"
        reporter = ConsoleReporter()
        reporter.info(f"{column.level}: {text}; {labeled:,} images of {len(column.classes):,} classes have a label")
        if old and old.note:
            reporter.info(old.note)


def _write(target: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    from coarsecon.report.spreadsheet import csv_file, csv_text
    from coarsecon.runtime.extras import require_extra
    from coarsecon.runtime.files import atomic_write

    if target.suffix.lower() == ".parquet":
        from io import BytesIO

        pyarrow = require_extra("parquet", "pyarrow", "pyarrow.parquet", needed_by=target, instead="write CSV")
        columns = {name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)}
        stream = BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns), stream)
        atomic_write(target, stream.getvalue())
    else:
        separator = "\t" if target.suffix.lower() == ".tsv" else ","
        atomic_write(target, csv_file(csv_text(COLUMNS, rows, separator=separator)))
