"""Warnings before a training whose data, batches or length are too small, one line each."""

from typing import Any

from torch import Tensor

from coarsecon.config import RunConfig
from coarsecon.methods.base import Method, TrainingSizes
from coarsecon.train.length import batch_size_of
from coarsecon.train.schedule import epochs_of, warmup_of

EXAMPLES = 3
"""Classes named in a warning."""


def small_data_notes(
    config: RunConfig, method: type[Method], method_settings: Any, labels: Tensor, names: list[str]
) -> list[str]:
    """Return warnings with subject, problem and remedy.

    Args:
        config: Resolved settings.
        method: Class of the method.
        method_settings: Its resolved settings.
        labels: Training labels [N], -1 where unknown.
        names: Names of the classes.
    """
    counts = labels[labels >= 0].bincount(minlength=len(names))
    pairs = float((counts * (counts - 1)).sum() / max(int(counts.sum() * (counts.sum() - 1)), 1))
    sizes = TrainingSizes(len(labels), int((counts > 0).sum()), batch_size_of(config), config.data.labels, pairs)
    notes = method.small_data_notes(method_settings, sizes) if sizes.classes or not method.needs_labels else []
    if method.needs_labels:
        notes += _single_image_notes([names[label] for label in (counts == 1).nonzero().flatten()], config.data.labels)
    notes += _warmup_notes(config, len(labels) // sizes.batch_size)
    return [f"Warning: {note}." for note in notes]


def _single_image_notes(names: list[str], level: str) -> list[str]:
    if not names:
        return []
    some = ", ".join(names[:EXAMPLES]) + ", ..." * (len(names) > EXAMPLES)
    which = "class has" if len(names) == 1 else "classes have"
    return [
        f"{len(names):,} {level} {which} one training image ({some}): nothing is learned about what its class has in "
        "common; add images, or merge the class with another"
    ]


def _warmup_notes(config: RunConfig, steps_per_epoch: int) -> list[str]:
    """Warn of a warmup that is not over before the training is; cyclic schedules have none."""
    epochs, warmup = epochs_of(config.schedule), warmup_of(config.schedule)
    if config.schedule.name == "cyclic" or round(warmup * steps_per_epoch) < epochs * steps_per_epoch:
        return []
    return [
        f"schedule.warmup_epochs ({warmup:g}): the warmup lasts until the end of the training, after "
        f"{epochs * steps_per_epoch} steps, so the learning rate never reaches optimizer.lr; set it to {epochs / 10:g}"
    ]
