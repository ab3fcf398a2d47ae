"""`coarsecon prepare NAME`: original files to a prepared dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coarsecon import registry
from coarsecon.cli.console import ConsoleReporter, closing, table

if TYPE_CHECKING:
    from coarsecon.data.sources import Source


def prepare(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A dataset; `coarsecon datasets` lists them.")],
    source: Annotated[Path | None, typer.Option(help="The original files.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; default data/NAME.")] = None,
    table_: Annotated[
        Path | None, typer.Option("--table", help="For folder: a CSV or Parquet table with path, coarse, fine, split.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="Which form of the dataset; `coarsecon datasets NAME` lists them.")
    ] = None,
    size: Annotated[int | None, typer.Option(min=8, max=4096, help="Side in pixels the encoder will see.")] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the original files if they are not there.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a prepared dataset at --out.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode images.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="For toy: which set is drawn.")] = 0,
) -> None:
    """Read a dataset from its original files, check it, and write it in the prepared form."""
    reader: Source = registry.load(registry.DATASETS, name)
    from coarsecon.data.prepare import prepare_dataset
    from coarsecon.data.sources import SourceRequest, check_request

    target = out or Path("data") / name
    reporter = ConsoleReporter()
    request = SourceRequest(
        source=source, table=table_, size=size, download=download, workers=workers,
        variant=variant, seed=seed, reporter=reporter,
    )  # fmt: skip
    check_request(reader, request)
    dataset = prepare_dataset(reader, request, target, overwrite=overwrite)
    info = dataset.info
    rows = [(split, f"{part.count:,}") for split, part in info.splits.items()]
    rows += [(f"{level} classes", f"{len(names):,}") for level, names in info.levels.items()]
    table(f"{info.name}, {info.size} px", ["", "count"], rows)
    closing([target], ["coarsecon", "pretrain", "--data", target, "--out", f"runs/{target.name}"])
