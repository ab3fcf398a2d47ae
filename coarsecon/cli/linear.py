"""`coarsecon linear RUN`: a linear classifier on the frozen features of a run."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from coarsecon.cli.console import ConsoleReporter, closing, emit_json, percent, table
from coarsecon.cli.options import (
    DataFolder,
    Device,
    EncoderChoice,
    Flip,
    JsonFile,
    LayerChoice,
    RunFolder,
    Workers,
    unusual,
)
from coarsecon.errors import InputError
from coarsecon.runs import open_run

ABOUT_PRESETS = (
    "the paper's optimiser on cached features: normalised to length one, without the random crops and flips that "
    "the papers train with; `best` is picked on the images it is measured on, as the papers do"
)


def linear(
    run: RunFolder,
    preset: Annotated[
        Literal["sweep", "supcon", "ascl", "moco"],
        typer.Option(help="Many settings, picked on held-out training images; or a paper's one."),
    ] = "sweep",
    data: DataFolder = None,
    labels: Annotated[Literal["fine", "coarse", "both"], typer.Option(help="Which labels to learn.")] = "both",
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: 20 for sweep, else the paper's 100.")] = None,
    lr: Annotated[float | None, typer.Option(help="In place of the preset's rate (supcon: 1 for SimCLR).")] = None,
    shots_per_class: Annotated[int | None, typer.Option(min=1, help="Learn from so many labels a class.")] = None,
    repeats: Annotated[int, typer.Option(min=2, help="Draws of the shots.")] = 5,
    encoder: EncoderChoice = "last",
    layer: LayerChoice = "backbone",
    flip: Flip = False,
    json: JsonFile = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the order of images, the held-out part, the shots.")] = 0,
    workers: Workers = 2,
) -> None:
    """Top-1 and top-5 of a linear classifier on frozen features, on fine and coarse labels."""
    opened = open_run(run)
    if lr is not None and preset == "sweep":
        raise InputError("--lr: a sweep tries many rates; pass --preset supcon, ascl or moco too")
    if lr is not None and not 0 < lr < float("inf"):
        raise InputError(f"--lr: {lr} is not above 0")
    from coarsecon.evaluation.linear import few_label_probe, linear_probe
    from coarsecon.session import Session

    reporter = ConsoleReporter()
    session = Session(
        opened, data, which=encoder, layer=layer, flip=flip, device=device, workers=workers, reporter=reporter
    )
    split = session.held_out()
    known = session.labels("train", split)
    if labels != "both" and labels not in known:
        raise InputError(f"--labels: {labels} labels are not known in train and {split} of {session.dataset.root}")
    train, test = (session.features(name).to(session.device) for name in ("train", split))
    settings: dict[str, Any] = {"preset": preset, "lr": lr, "epochs": epochs, "seed": seed}
    metrics = {}
    for level in known if labels == "both" else [labels]:
        train_labels, test_labels = (column.to(session.device) for column in known[level])
        reporter.info(f"linear classifier of {level} labels")
        if shots_per_class:
            metrics[level] = few_label_probe(
                train, train_labels, test, test_labels, shots=shots_per_class, repeats=repeats, **settings
            )
        else:
            metrics[level] = linear_probe(train, train_labels, test, test_labels, **settings)
    options = unusual(linear, locals(), "preset", "labels", "epochs", "lr", "shots_per_class", "repeats", "seed")
    result = session.save_result("linear", split, metrics, options=options)
    if json:
        emit_json(metrics, json)
    if json != "-":
        table(f"Linear classifier ({preset}) on {split}, in %", ["", *metrics], _rows(list(metrics.values())))
    if preset != "sweep":
        reporter.info(f"{preset}: {ABOUT_PRESETS}")
    closing([result, *([Path(json)] if json and json != "-" else [])], [])


def _rows(levels: list[dict[str, Any]]) -> list[list[str]]:
    """The rows of the table: what is there of scores, then of settings, then counts."""
    first = levels[0]
    rows = [["top-1", *(_score(values, "top1", "ci95") for values in levels)]]
    rows.append(["top-5", *(_score(values, "top5", "top5_ci95") for values in levels)])
    if "best" in first:
        rows.append(["top-1, best epoch on test", *(percent(values["best"]["top1"]) for values in levels)])
    if "held_out_top1" in first:
        rows.append(["top-1, held-out train", *(percent(values["held_out_top1"]) for values in levels)])
    settings = {"lr": "learning rate", "weight_decay": "weight decay"}
    rows += [[title, *(f"{values[key]:g}" for values in levels)] for key, title in settings.items() if key in first]
    counts = {"epochs": "epochs", "train_images": "train images", "queries": "queries", "classes": "classes"}
    return rows + [[title, *(f"{values[key]:,}" for values in levels)] for key, title in counts.items()]


def _score(values: dict[str, Any], key: str, interval: str) -> str:
    return percent(values[key]) + (f" ± {percent(values[interval])}" if interval in values else "")
