"""`coarsecon backbones DATA [NAME...]`: which published weights suit the images of a dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from coarsecon.backbones.catalog import DEFAULT_OUT
from coarsecon.cli.console import JsonFile, closing, emit_json, table
from coarsecon.cli.options import Device, Workers
from coarsecon.cli.processes import single_process
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.config import Pooling
from coarsecon.errors import InputError

if TYPE_CHECKING:
    from coarsecon.backbones.compare import Ranking


@single_process
def backbones(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Prepared dataset to compare them on.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="timm names of published weights, open_clip:MODEL/WEIGHTS, NAME=FILE for weights in a file, "
            "NAME=random for random weights, or run folders. Default: a list of good ones.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the run folder of each backbone.")] = DEFAULT_OUT,
    sizes: Annotated[
        str | None,
        typer.Option(metavar="S,S", help="Image sizes in pixels to try, with commas. Default: the dataset's."),
    ] = None,
    pooling: Annotated[
        str | None,
        typer.Option(
            metavar="P,P",
            help="Features of transformers to try, with commas: cls (class token), mean (of the patch tokens), both. "
            "Default: timm's.",
        ),
    ] = None,
    label_free: Annotated[
        bool, typer.Option("--label-free", help="Add the criteria that need no fine labels where there are some.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Page to write. Default: backbones.html in the folder of --out.")
    ] = None,
    json: JsonFile = None,
    device: Device = "auto",
    workers: Workers = 2,
) -> None:
    """Compare pretrained backbones on a dataset, without training: table, page, and a run folder for each."""
    from coarsecon.backbones.compare import compare_backbones
    from coarsecon.backbones.page import write_backbones_page
    from coarsecon.run.spec import Runtime

    runtime = Runtime(device, workers, ConsoleReporter())
    ranking = compare_backbones(
        data, names or [], out=out, sizes=_sizes(sizes), poolings=_poolings(pooling), label_free=label_free,
        runtime=runtime,
    )  # fmt: skip
    page = html or out / "backbones.html"
    write_backbones_page(page, ranking, runtime)
    if json:
        emit_json([each.to_json() for each in ranking.backbones], json)
    if json != "-":
        _print(ranking)
    written = [page, *([Path(json)] if json and json != "-" else [])]
    closing(written, ["coarsecon", "report", *(each.run for each in ranking.backbones[:3] if each.run)])


def _sizes(text: str | None) -> list[int]:
    words = text.split(",") if text else []
    if not all(word.strip().isdecimal() and int(word) for word in words):
        raise InputError("sizes", f"{text} is not a list of numbers above 0", "write them with commas, such as 112,160")
    return [int(word) for word in words]


def _poolings(text: str | None) -> list[Pooling]:
    known, words = get_args(Pooling), text.split(",") if text else []
    if unknown := [word for word in words if word not in known]:
        raise InputError("pooling", f"{unknown[0]!r} is not known", f"choose among {', '.join(known)}, with commas")
    return [pooling for word in words for pooling in known if pooling == word]


def _print(ranking: "Ranking") -> None:
    from coarsecon.backbones.tables import ranking_table, skipped_table

    shown = ranking_table(ranking)
    table(shown.title, shown.columns, shown.rows)
    if skipped := skipped_table(ranking):
        table(skipped.title, skipped.columns, skipped.rows, numbers=False)
