"""Verify, audit, show or export a prepared dataset."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from coarsecon.cli.audit import audit
from coarsecon.cli.console import closing, emit_json, processors, table
from coarsecon.cli.processes import single_process
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.errors import CoarseconError

if TYPE_CHECKING:
    from coarsecon.data.prepared.check import DatasetCheck
    from coarsecon.data.prepared.store import PreparedDataset

app = typer.Typer(help=__doc__, no_args_is_help=True)
app.command("audit")(audit)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Prepared dataset.")]
MAX_LISTED = 10
"""Number of broken images and of duplicates that are listed by name."""


@app.command("check")
@single_process
def check(
    folder: Folder,
    workers: Annotated[int | None, typer.Option(min=1, help="Number of processes. Default: one per processor.")] = None,
    json: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - is stdout.")] = None,
) -> None:
    """Verify every image: checksums, counts, label ranges, images that do not decode, duplicates, and leakage.

    Duplicates are images with equal pixels. They are reported, and are not an error; nor are images that contradict
    the hierarchy of the label levels.
    """
    from coarsecon.data.prepared.check import check_dataset
    from coarsecon.data.prepared.store import open_dataset

    dataset = open_dataset(folder)
    found = check_dataset(dataset, workers=workers or processors(), reporter=ConsoleReporter())
    if json:
        emit_json(_facts(dataset, found), json)
    if json != "-":
        _show(dataset, found)
    if not found.is_whole:
        bad = [name for name, split in found.splits.items() if split.broken or not split.is_as_written]
        raise CoarseconError(folder, f"{', '.join(bad)} not as prepared", "prepare the dataset again")


def _show(dataset: "PreparedDataset", found: "DatasetCheck") -> None:
    from coarsecon.data.prepared.levels import dataset_notes

    rows = [
        (
            name, f"{split.count:,}", "as written" if split.is_as_written else "differs", f"{len(split.broken):,}",
            f"{split.repeats:,}", ", ".join(f"{level} {count:,}" for level, count in split.unknown.items() if count),
        )
        for name, split in found.splits.items()
    ]  # fmt: skip
    columns = ["split", "images", "checksum", "broken", "repeated", "unlabeled"]
    table(f"{dataset.info.name}, {dataset.info.size} px", columns, rows)
    reporter = ConsoleReporter()
    for note in dataset.info.channel_notes:
        reporter.info(note)
    for split in found.splits.values():
        for reason in split.broken[:MAX_LISTED]:
            reporter.info(reason)
    for note in dataset_notes(dataset):
        reporter.info(note)
    for (first, second), count in found.leaks.items():
        reporter.info(f"{count:,} {second} images also appear in {first} (leakage)")
    if found.contradictions:
        reporter.info(f"{found.contradictions:,} groups of duplicates have different labels")
    for places in found.duplicates[:MAX_LISTED]:
        reporter.info("equal: " + ", ".join(f"{split}/{dataset.splits[split].names[i]}" for split, i in places[:4]))
    if len(found.duplicates) > MAX_LISTED:
        reporter.info(f"and {len(found.duplicates) - MAX_LISTED:,} more groups of duplicates (--json lists them)")


def _facts(dataset: "PreparedDataset", found: "DatasetCheck") -> dict[str, Any]:
    from coarsecon.data.prepared.levels import hierarchy_facts

    return {
        "whole": found.is_whole,
        "splits": {name: asdict(split) for name, split in found.splits.items()},
        "leaks": {f"{first}/{second}": count for (first, second), count in found.leaks.items()},
        "contradictions": found.contradictions,
        "channel_notes": dataset.info.channel_notes,
        "hierarchy": hierarchy_facts(dataset),
        "twins": [
            [{"split": split, "number": i, "name": dataset.splits[split].names[i]} for split, i in places]
            for places in found.duplicates
        ],
    }


@app.command("show")
@single_process
def show(
    folder: Folder,
    split: Annotated[str, typer.Option(help="Split to draw.")] = "train",
    per_class: Annotated[int, typer.Option(min=1, max=50, help="Number of images per fine class.")] = 6,
    classes: Annotated[int, typer.Option(min=1, help="Maximum number of fine classes.")] = 200,
    png: Annotated[Path | None, typer.Option(help="File to write. Default: DIR-SPLIT.png.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the choice of images.")] = 0,
) -> None:
    """Draw sample images, one row per fine class, grouped by coarse class."""
    from coarsecon.data.prepared.store import open_dataset
    from coarsecon.report.class_samples import sample_blocks
    from coarsecon.report.samples import write_samples

    dataset = open_dataset(folder)
    blocks, left_out = sample_blocks(dataset, split, per_class=per_class, classes=classes, seed=seed)
    if left_out:
        ConsoleReporter().info(f"left out {left_out:,} classes; --classes draws more")
    target = png or folder.with_name(f"{folder.resolve().name}-{split}.png")
    count = len(dataset.split(split))
    write_samples(target, blocks, title=f"{dataset.info.name}, {split}: {count:,} images")
    closing([target], [])


@app.command("export")
@single_process
def export(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    to: Annotated[Literal["hf"] | None, typer.Option(hidden=True)] = None,
) -> None:
    """Write a prepared dataset for `datasets.load_from_disk` of Hugging Face."""
    from coarsecon.data.prepared.store import open_dataset
    from coarsecon.data.sources import hub

    if to:
        ConsoleReporter().info("Warning: --to is deprecated and has no effect; hf is the only format.")
    hub.export(open_dataset(folder), out)
    closing([out], ["python", "-c", f"import datasets; print(datasets.load_from_disk({str(out)!r}))"])
