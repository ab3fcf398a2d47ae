"""`coarsecon linear RUN`: a linear classifier on the features of a run, frozen or trained on with it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from coarsecon.runtime.progress import Reporter

if TYPE_CHECKING:
    from torch import Tensor

    from coarsecon.run.facade import Run
    from coarsecon.train.classifier import ClassifierSettings

    Probe = Callable[[Tensor, Tensor, int], dict[str, Any]]
    """(test labels, train labels, seed) -> scores; labels are -1 where they are not to be used."""

ABOUT_BEST = "`best` is picked on the images it is measured on, as the papers do"
ABOUT_PRESETS = (
    "the paper's optimiser on cached features: normalised to length one, without the random crops and flips that "
    "the papers train with (--augment has them)"
)


def linear(
    run: RunArgument,
    preset: Annotated[
        Literal["sweep", "supcon", "ascl", "moco"],
        typer.Option(help="Many settings, picked on held-out training images; or a paper's one."),
    ] = "sweep",
    data: DataFolder = None,
    labels: Annotated[Literal["fine", "coarse", "both"], typer.Option(help="Which labels to learn.")] = "both",
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: 20 for sweep and finetune, else 100.")] = None,
    lr: Annotated[
        float | None, typer.Option(help="In place of the preset's rate (supcon: 1 for SimCLR); finetune: 0.1.")
    ] = None,
    augment: Annotated[
        bool, typer.Option("--augment", help="With a preset: random crops and flips in every epoch, as in the papers.")
    ] = False,
    finetune: Annotated[
        bool, typer.Option("--finetune", help="Train the backbone too, on random crops and flips.")
    ] = False,
    backbone_lr: Annotated[float | None, typer.Option(help="With --finetune; default: a tenth of --lr.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=2, help="With --augment or --finetune; default: the preset's, or 64.")
    ] = None,
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
    """Top-1 and top-5 of a linear classifier of fine and coarse labels, on a frozen or a fine-tuned backbone."""
    opened = open_run(run)
    views = finetune or augment
    _check(preset, augment, finetune, {"--lr": lr, "--backbone-lr": backbone_lr}, batch_size, layer, flip)
    from coarsecon.run.storing import store_result
    from coarsecon.train.linear_probe import few_label_probe

    with shared_session(opened, data, which=encoder, layer=layer, flip=flip, device=device, workers=workers) as session:
        split = session.held_out_split()
        known = session.labels("train", split)
        if labels != "both" and labels not in known:
            raise InputError(f"--labels: {labels} labels are not known in train and {split} of {session.dataset.root}")
        session.report_unlabeled("train", split, levels=None if labels == "both" else [labels])
        kind = "finetune" if finetune else preset
        if views:
            probe = _of_views(session, split, kind, _settings(preset, finetune, lr, backbone_lr, epochs, batch_size))
        else:
            # Few labels are learnt in a moment, many times.
            told = Reporter() if shots_per_class else session.reporter
            probe = _of_features(session, split, preset, lr, epochs, told)
    metrics, reporter = {}, session.reporter
    for level in known if labels == "both" else [labels]:
        train_labels, test_labels = known[level]
        reporter.info(f"linear classifier of {level} labels")
        if shots_per_class:
            once = partial(probe, test_labels)
            metrics[level] = few_label_probe(
                once, train_labels, shots=shots_per_class, repeats=repeats, seed=seed,
                names=session.dataset.info.levels[level],
            )  # fmt: skip
        else:
            metrics[level] = probe(test_labels, train_labels, seed)
    options = unusual(
        linear, locals(), "preset", "augment", "finetune", "labels", "epochs", "lr", "backbone_lr", "batch_size",
        "shots_per_class", "repeats", "seed",
    )  # fmt: skip
    if json:
        emit_json(metrics, json)
    if json != "-":
        title = f"Linear classifier ({kind}{', random views' * augment}) on {split}, in %"
        table(title, ["", *metrics], _rows(list(metrics.values())))
    if preset != "sweep" and not views:
        reporter.info(f"{preset}: {ABOUT_PRESETS}")
    if preset != "sweep" or views:
        reporter.info(ABOUT_BEST)
    store_result(session, "linear", split, metrics, options=options)
    closing([*opened.stored, *([Path(json)] if json and json != "-" else [])], [])


def _check(
    preset: str, augment: bool, finetune: bool, rates: dict[str, float | None], batch_size: int | None, layer: str,
    flip: bool,
) -> None:  # fmt: skip
    """Options that belong together, before anything is loaded."""
    if finetune and (augment or preset != "sweep"):
        raise InputError("--finetune has settings and random views of its own: leave out --preset and --augment")
    if augment and preset == "sweep":
        raise InputError("--augment: a sweep learns from fixed features; pass --preset supcon, ascl or moco too")
    if (augment or finetune) and (layer != "backbone" or flip):
        raise InputError("--augment and --finetune learn from what the backbone gives: leave out --layer and --flip")
    if batch_size is not None and not (augment or finetune):
        raise InputError("--batch-size: only --augment and --finetune show images in batches")
    if rates["--backbone-lr"] is not None and not finetune:
        raise InputError("--backbone-lr: the backbone is frozen; pass --finetune too")
    if rates["--lr"] is not None and preset == "sweep" and not finetune:
        raise InputError("--lr: a sweep tries many rates; pass --preset supcon, ascl or moco too")
    for option, rate in rates.items():
        if rate is not None and not 0 < rate < float("inf"):
            raise InputError(f"{option}: {rate} is not above 0")


def _of_features(
    session: "Run", split: str, preset: str, lr: float | None, epochs: int | None, reporter: Reporter
) -> "Probe":
    """Learns from the features of the frozen backbone."""
    from coarsecon.train.linear_probe import linear_probe

    train, test = (session.features(name).to(session.store.device) for name in ("train", split))

    def probe(test_labels: "Tensor", train_labels: "Tensor", seed: int) -> dict[str, Any]:
        known, measured = (column.to(session.store.device) for column in (train_labels, test_labels))
        return linear_probe(
            train, known, test, measured, preset=preset, lr=lr, epochs=epochs, seed=seed, reporter=reporter
        )

    return probe


def _of_views(session: "Run", split: str, kind: str, settings: "ClassifierSettings") -> "Probe":
    """Learns from random views; every probe begins with the run's encoder."""
    from coarsecon.run.restore import open_encoder
    from coarsecon.train.classifier import view_probe

    train, test = (session.dataset.split(name) for name in ("train", split))

    def probe(test_labels: "Tensor", train_labels: "Tensor", seed: int) -> dict[str, Any]:
        encoder = open_encoder(session.folder, session.spec.checkpoint, session.store.device)
        found = view_probe(
            encoder, train, train_labels, test, test_labels, settings,
            device=session.store.device, workers=session.runtime.workers, seed=seed, reporter=session.reporter,
        )  # fmt: skip
        return {**found, "preset": kind, "views": "random"}

    return probe


def _settings(
    preset: str, finetune: bool, lr: float | None, backbone_lr: float | None, epochs: int | None, batch_size: int | None
) -> "ClassifierSettings":
    from dataclasses import replace

    from coarsecon.train.classifier import FINETUNING, paper_settings

    settings = FINETUNING if finetune else paper_settings(preset)
    if finetune:
        settings = replace(settings, backbone_lr=backbone_lr or (lr or settings.lr) / 10)
    return replace(
        settings, lr=lr or settings.lr, epochs=epochs or settings.epochs, batch_size=batch_size or settings.batch_size
    )


def _rows(levels: list[dict[str, Any]]) -> list[list[str]]:
    """The rows of the table: what is there of scores, then of settings, then counts."""
    first = levels[0]
    rows = [["top-1", *(_score(values, "top1", "ci95") for values in levels)]]
    rows.append(["top-5", *(_score(values, "top5", "top5_ci95") for values in levels)])
    if "best" in first:
        rows.append(["top-1, best epoch on test", *(percent(values["best"]["top1"]) for values in levels)])
    if "held_out_top1" in first:
        rows.append(["top-1, held-out train", *(percent(values["held_out_top1"]) for values in levels)])
    settings = {"lr": "learning rate", "backbone_lr": "backbone's learning rate", "weight_decay": "weight decay"}
    rows += [[title, *(f"{values[key]:g}" for values in levels)] for key, title in settings.items() if key in first]
    counts = {"epochs": "epochs", "train_images": "train images", "queries": "queries", "classes": "classes"}
    return rows + [[title, *(f"{values[key]:,}" for values in levels)] for key, title in counts.items()]


def _score(values: dict[str, Any], key: str, interval: str) -> str:
    return percent(values[key]) + (f" ± {percent(values[interval])}" if interval in values else "")
