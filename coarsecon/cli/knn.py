"""`coarsecon knn RUN`: classify held-out images by a vote of their nearest training images."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from coarsecon.cli.console import closing, emit_json, percent, table
from coarsecon.cli.options import (
    DataFolder,
    Device,
    EncoderChoice,
    Flip,
    JsonFile,
    LayerChoice,
    RunArgument,
    Workers,
    unusual,
)
from coarsecon.cli.ranks import shared_session
from coarsecon.errors import InputError
from coarsecon.run.folder import open_run

Number = TypeVar("Number", int, float)


def knn(
    run: RunArgument,
    data: DataFolder = None,
    k: Annotated[str, typer.Option("--k", help="Neighbours that vote; several with commas.")] = "20,200",
    t: Annotated[str, typer.Option("--t", help="Temperatures of the votes; several with commas.")] = "0.1",
    encoder: EncoderChoice = "last",
    layer: LayerChoice = "backbone",
    flip: Flip = False,
    json: JsonFile = None,
    device: Device = "auto",
    workers: Workers = 2,
) -> None:
    """Top-1 of a weighted vote of the nearest training images, on fine and coarse labels."""
    opened = open_run(run)
    ks, ts = _numbers("--k", k, int), _numbers("--t", t, float)
    from coarsecon.metrics.knn import knn_metrics
    from coarsecon.run.storing import store_result

    with shared_session(opened, data, which=encoder, layer=layer, flip=flip, device=device, workers=workers) as session:
        split = session.held_out_split()
        labels = session.labels("train", split)
        bank, queries = (session.features(name).to(session.store.device) for name in ("train", split))
    session.report_unlabeled("train", split)
    voters = min(int((bank_labels >= 0).sum()) for bank_labels, _ in labels.values())
    if 2 * max(ks) > voters:
        session.reporter.info(
            f"--k {max(ks)}: train has {voters:,} labelled images, so half or more of them vote on every image and how "
            f"near they are hardly counts; try --k {max(1, min(20, voters // 10))}"
        )
    metrics = {
        level: knn_metrics(bank, bank_labels, queries, query_labels, ks=ks, ts=ts, reporter=session.reporter)
        for level, (bank_labels, query_labels) in labels.items()
    }
    if json:
        emit_json(metrics, json)
    if json != "-":
        grids = zip(*(values["grid"] for values in metrics.values()), strict=True)
        rows = [(f"k {row[0]['k']}, t {row[0]['t']:g}", *(percent(cell["top1"]) for cell in row)) for row in grids]
        rows += [(name, *(f"{values[name]:,}" for values in metrics.values())) for name in ("queries", "classes")]
        table(f"kNN top-1 of {split} among train, in %", ["", *metrics], rows)
    store_result(session, "knn", split, metrics, options=unusual(knn, locals(), "k", "t"))
    closing([*opened.stored, *([Path(json)] if json and json != "-" else [])], [])


def _numbers(option: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    """The numbers above 0 in `text`, in its order, each once."""
    try:
        numbers = list(dict.fromkeys(kind(word) for word in text.split(",")))
    except ValueError:
        raise InputError(f"{option}: {text} is not a list of numbers; write them with commas, such as 20,200") from None
    if not all(0 < number < float("inf") for number in numbers):
        raise InputError(f"{option}: {text} has a number that is not above 0")
    return numbers
