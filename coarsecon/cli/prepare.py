"""`coarsecon prepare NAME`: original files to a prepared dataset."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from coarsecon import registry
from coarsecon.cli.console import ConsoleReporter, closing, emit_json, processors, table

if TYPE_CHECKING:
    from coarsecon.data.prepare.balance import Balance
    from coarsecon.data.prepared.schema import DatasetInfo
    from coarsecon.data.sources import Source


def prepare(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A dataset; `coarsecon datasets` lists them.")],
    source: Annotated[Path | None, typer.Option(help="The original files.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; default data/NAME.")] = None,
    table_: Annotated[
        Path | None, typer.Option("--table", help="For folder: a CSV or Parquet table with path, coarse, fine, split.")
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Column of image paths. Default: path, filename, image or another usual name."
        ),
    ] = None,
    coarse: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of coarse labels. Default: coarse, category, label or the like."),
    ] = None,
    fine: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of fine labels. Default: fine, species or the like, if any."),
    ] = None,
    label_columns: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column that is a further level; repeatable.")
    ] = None,
    coarse_map: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A table with columns fine and coarse: makes the coarse labels.")
    ] = None,
    keep_na: Annotated[
        bool,
        typer.Option("--keep-na", help="Take labels such as NA, None or null for class names, not for missing values."),
    ] = False,
    variant: Annotated[
        str | None, typer.Option(help="Which form of the dataset; `coarsecon datasets NAME` lists them.")
    ] = None,
    size: Annotated[int | None, typer.Option(min=8, max=4096, help="Side in pixels the encoder will see.")] = None,
    resize_shorter: Annotated[
        int | None, typer.Option(min=8, max=4096, help="Write copies with a shorter side of at most N pixels.")
    ] = None,
    copies: Annotated[
        Literal["jpeg", "png"] | None, typer.Option(help="What copies are; default: jpeg, or as the dataset is.")
    ] = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Go on without images that are broken.")] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the original files if they are not there.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a prepared dataset at --out.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that convert images; default: one per processor.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="For toy: which set is drawn.")] = 0,
    json: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - is stdout.")] = None,
) -> None:
    """Read a dataset from its original files, check it, and write it in the prepared form."""
    reader: Source = registry.load(registry.DATASETS, name)
    from coarsecon.data.prepare.balance import balance
    from coarsecon.data.prepare.dataset import prepare_dataset
    from coarsecon.data.prepare.preparation import Writing
    from coarsecon.data.sources import SourceRequest

    target = out or Path("data") / name
    reporter = ConsoleReporter()
    columns = tuple(name.strip() for names in label_columns or [] for name in names.split(","))
    request = SourceRequest(
        source=source, table=table_, size=size, download=download, workers=workers or processors(),
        variant=variant, label_columns=columns, coarse_map=coarse_map, path=path, coarse=coarse, fine=fine,
        keep_na=keep_na, seed=seed, reporter=reporter,
    )  # fmt: skip
    writing = Writing(resize_shorter, copies, skip_broken)
    dataset = prepare_dataset(reader, request, target, overwrite=overwrite, writing=writing)
    info = dataset.info
    found = balance({level: column.numpy() for level, column in dataset.split("train").labels.items()}, info.levels)
    if json:
        emit_json(_facts(info, found), json)
    if json != "-":
        _show(info, found)
    if info.notes:
        reporter.info(info.notes)
    closing([target], ["coarsecon", "pretrain", "--data", target, "--out", f"runs/{target.name}"])


def _show(info: "DatasetInfo", found: "Balance") -> None:
    splits = [(split, f"{part.count:,}") for split, part in info.splits.items()]
    table(f"{info.name}, {info.size} px", ["split", "images"], splits)
    rows = [
        (level, f"{b.classes:,}", f"{b.smallest:,}", f"{b.median:,g}", f"{b.largest:,}", f"{b.unknown:,}")
        for level, b in found.levels.items()
    ]
    table("Training images per class", ["level", "classes", "smallest", "median", "largest", "unlabelled"], rows)


def _facts(info: "DatasetInfo", found: "Balance") -> dict[str, Any]:
    """What was prepared, for `--json`."""
    return {
        "name": info.name, "size": info.size, "form": info.form, "notes": info.notes,
        "splits": {split: {"count": part.count, "broken": part.broken} for split, part in info.splits.items()},
        "levels": {level: asdict(part) for level, part in found.levels.items()},
        "coarse_with_one_fine": found.lone,
    }  # fmt: skip
