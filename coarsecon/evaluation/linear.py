"""A linear classifier on the features of a run, frozen or fine-tuned."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from coarsecon.errors import InputError
from coarsecon.evaluation.base import Evaluation, Metric, Result, Table, percent
from coarsecon.evaluation.held_out import FoldsConfig, held_out, scored

if TYPE_CHECKING:
    from torch import Tensor

    from coarsecon.run.facade import Run
    from coarsecon.train.classifier import ClassifierSettings

    Probe = Callable[[Tensor, Tensor, int], dict[str, Any]]
    """(test labels [M], train labels [N], seed) -> scores; labels are -1 where they are not to be used."""

ABOUT_BEST = "`best` is chosen on the test images, as the papers do"
ABOUT_PRESETS = (
    "the paper's optimizer on cached, L2-normalized features, without the random crops and flips that the papers train "
    "with: set augment for those"
)
SETTINGS = {"lr": "learning rate", "backbone_lr": "backbone learning rate", "weight_decay": "weight decay"}
KEPT = (
    "lr", "backbone_lr", "weight_decay", "epochs", "batch_size", "train_images", "shots_per_class", "repeats", "preset",
    "views", "seed",
)  # fmt: skip
"""Settings that a cross-validated result has if they are the same in all folds."""
COUNTS = {"epochs": "epochs", "train_images": "train images", "queries": "queries", "classes": "classes"}
"""Entries of the JSON, with their names in the table."""


class Linear(Evaluation):
    """Top-1 and top-5 of a linear classifier of each label level, on a frozen or a fine-tuned backbone."""

    class Config(FoldsConfig):
        """Settings of `linear`."""

        preset: Literal["sweep", "supcon", "ascl", "moco"] = Field(
            "sweep",
            description="Learning rates and weight decays chosen on held-out training images, or a paper's settings.",
        )
        augment: bool = Field(
            False, description="With a paper's preset: new random crops and flips in every epoch, as in the papers."
        )
        finetune: bool = Field(False, description="Train the backbone too, on random crops and flips.")
        labels: str = Field(
            "both",
            description="Label level to train on, such as a label column. both: the levels that the dataset was "
            "prepared with.",
            json_schema_extra={"metavar": "LEVEL"},
        )
        epochs: int | None = Field(
            None, ge=1, description="Training epochs. Default: 20 for sweep and fine-tuning, else 100."
        )
        lr: float | None = Field(
            None, gt=0, description="Learning rate (overrides the preset; 1 for SimCLR with supcon). Fine-tuning: 0.1."
        )
        backbone_lr: float | None = Field(
            None, gt=0, description="Learning rate of the backbone when fine-tuning. Default: a tenth of the other."
        )
        batch_size: int | None = Field(
            None, ge=2, description="Batch size with random views. Default: the preset's; 64 for fine-tuning."
        )
        shots_per_class: int | None = Field(None, ge=1, description="Training labels per class. Default: all.")
        repeats: int = Field(5, ge=2, description="Random draws of the training labels per class.")
        seed: int = Field(0, ge=0, description="Random seed of the image order, held-out parts, draws and folds.")

        @property
        def level(self) -> str | None:
            """The label level to train on; None for all."""
            return None if self.labels == "both" else self.labels

        @property
        def uses_views(self) -> bool:
            """True if the classifier is trained on random views instead of cached features."""
            return self.augment or self.finetune

        @model_validator(mode="after")
        def _check_combination(self) -> Self:
            if self.finetune and (self.augment or self.preset != "sweep"):
                raise InputError("finetune", "has its own settings and random views", "leave preset and augment out")
            if self.augment and self.preset == "sweep":
                raise InputError("augment", "a sweep trains on fixed features", "choose preset supcon, ascl or moco")
            if self.batch_size is not None and not self.uses_views:
                raise InputError("batch_size", "applies to random views only", "set augment or finetune too")
            if self.backbone_lr is not None and not self.finetune:
                raise InputError("backbone_lr", "the backbone is frozen", "set finetune too")
            if self.lr is not None and self.preset == "sweep" and not self.finetune:
                raise InputError("lr", "a sweep tries many learning rates", "choose preset supcon, ascl or moco")
            return self

    def evaluate(self, run: "Run", config: Config) -> Result:
        """Train on the training split and measure on test, else val, else by cross-validation."""
        from coarsecon.metrics.folds import over_folds
        from coarsecon.train.few_labels import few_label_probe

        if config.uses_views and (run.spec.layer != "backbone" or run.spec.flip):
            subject = "finetune" if config.finetune else "augment"
            raise InputError(subject, "trains on the output of the backbone", "leave layer and flip out")
        split = run.default_split(config.level)
        known = run.labels("train", split, level=config.level)
        run.report_unlabeled("train", split, levels=run.levels(config.level))
        probe = _view_probe(run, split, config) if config.uses_views else _feature_probe(run, split, config)
        run.continue_on_first_rank()
        chosen = held_out(run, config.folds, config.seed, config.level)
        values: dict[str, Any] = {}
        for level in known:
            run.reporter.info(f"linear classifier of {level} labels")
            found = []
            for train_labels, test_labels in chosen.parts(level, *known[level], reporter=run.reporter):
                if config.shots_per_class:
                    found.append(few_label_probe(
                        partial(probe, test_labels), train_labels, shots=config.shots_per_class, repeats=config.repeats,
                        seed=config.seed, names=run.dataset.info.levels[level],
                    ))  # fmt: skip
                else:
                    found.append(probe(test_labels, train_labels, config.seed))
            labels = known[level][1]
            classes = len(labels[labels >= 0].unique())
            values[level] = found[0] if chosen.folds is None else over_folds(found, ("top1", "top5"), KEPT, classes)
        if config.preset != "sweep" and not config.uses_views:
            run.reporter.info(f"{config.preset}: {ABOUT_PRESETS}")
        if chosen.folds is None and (config.preset != "sweep" or config.uses_views):
            run.reporter.info(ABOUT_BEST)
        title = f"Linear classifier ({_kind(config)}{', random views' * config.augment}) on {chosen.title}, in %"
        return Result(
            list(_metrics(values)), split, values, tables=[Table(title, ["", *values], _rows(list(values.values())))]
        )


def _kind(config: Linear.Config) -> str:
    return "finetune" if config.finetune else config.preset


def _feature_probe(run: "Run", split: str, config: Linear.Config) -> "Probe":
    """Return a function that trains on the features of the frozen backbone."""
    from coarsecon.runtime.progress import Reporter
    from coarsecon.train.linear_probe import linear_probe

    train, test = (run.features(name).to(run.store.device) for name in ("train", split))
    # Few labels and folds train in a moment, many times.
    reporter = Reporter() if config.shots_per_class or split == "train" else run.reporter

    def probe(test_labels: "Tensor", train_labels: "Tensor", seed: int) -> dict[str, Any]:
        known, measured = (column.to(run.store.device) for column in (train_labels, test_labels))
        return linear_probe(
            train, known, test, measured,
            preset=config.preset, lr=config.lr, epochs=config.epochs, seed=seed, reporter=reporter,
        )  # fmt: skip

    return probe


def _view_probe(run: "Run", split: str, config: Linear.Config) -> "Probe":
    """Return a function that trains on random views; each call begins with the run's encoder."""
    from coarsecon.run.restore import open_encoder
    from coarsecon.train.classifier import view_probe

    train, test = (run.dataset.split(name) for name in ("train", split))
    settings = _settings(config)

    def probe(test_labels: "Tensor", train_labels: "Tensor", seed: int) -> dict[str, Any]:
        encoder = open_encoder(run.folder, run.spec.checkpoint, run.store.device)
        found = view_probe(
            encoder, train, train_labels, test, test_labels, settings,
            device=run.store.device, workers=run.runtime.workers, seed=seed, reporter=run.reporter,
        )  # fmt: skip
        return {**found, "preset": _kind(config), "views": "random"}

    return probe


def _settings(config: Linear.Config) -> "ClassifierSettings":
    from coarsecon.train.classifier import FINETUNING, paper_settings

    settings = FINETUNING if config.finetune else paper_settings(config.preset)
    lr = config.lr or settings.lr
    backbone_lr = (config.backbone_lr or lr / 10) if config.finetune else settings.backbone_lr
    epochs, batch_size = config.epochs or settings.epochs, config.batch_size or settings.batch_size
    return replace(settings, lr=lr, backbone_lr=backbone_lr, epochs=epochs, batch_size=batch_size)


def _metrics(values: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    """Yield the scores of every label level: fractions of queries, or means over draws of the labels."""
    for level, part in values.items():
        for name, interval in (("top1", "ci95"), ("top5", "top5_ci95")):
            if "folds" in part or "draws" in part:
                yield Metric(name, part[name], level, "score", part[interval], part.get("folds", part.get("repeats")))
            else:
                yield Metric(name, part[name], level, "share", count=part["queries"])
        if "held_out_top1" in part:
            yield Metric("held_out_top1", part["held_out_top1"], level)


def _rows(levels: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the rows of the table: the scores that there are, then settings, then counts."""
    first = levels[0]
    rows = [["top-1", *(scored(values, "top1") for values in levels)]]
    rows.append(["top-5", *(scored(values, "top5") for values in levels)])
    if "best" in first:
        rows.append(["top-1, best epoch on test", *(percent(values["best"]["top1"]) for values in levels)])
    if "held_out_top1" in first:
        rows.append(["top-1, held-out train", *(percent(values["held_out_top1"]) for values in levels)])
    for names, form in ((SETTINGS, "g"), (COUNTS, ",")):
        rows += [
            [title, *(f"{values[key]:{form}}" if key in values else "" for values in levels)]
            for key, title in names.items()
            if any(key in values for values in levels)
        ]
    return rows
