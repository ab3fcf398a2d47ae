"""Runs that start from pretrained weights: their defaults, and what stays frozen."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from coarsecon.config import FinetuneSettings, RunConfig
from coarsecon.errors import InputError
from coarsecon.nn.freezing import train_last_blocks

LR = {"sgd": 0.01, "lars": 0.1, "adamw": 1e-4}
"""Peak learning rates that keep pretrained features, by optimizer."""


def finetune_defaults(images: int, optimizer: str = "sgd") -> dict[str, Any]:
    """Return the default settings of a run that starts from pretrained weights; every other layer of settings wins.

    Args:
        images: Number of training images.
        optimizer: Name of the optimizer, which the learning rate depends on.
    """
    return {
        "optimizer": {"lr": LR[optimizer]},
        "schedule": {"epochs": max(5, min(25, 250_000 // images))},
        "finetune": {"ema": 0.99},
        "run": {"monitor_every": 1},
    }


def defaults_of(config: RunConfig, layers: Mapping[str, Any], images: int) -> dict[str, Any]:
    """Return `finetune_defaults` for a run that starts from weights, and nothing for any other.

    A recipe has the settings that its paper published. The settings of a saved run are complete, and those of an
    earlier version must stay as they were; they all name their recipe, or that there is none.
    """
    if not config.backbone.starts_from_weights or "recipe" in layers:
        return {}
    return finetune_defaults(images, config.optimizer.name)


def describe(defaults: Mapping[str, Any], layers: Mapping[str, Any]) -> str:
    """Name the defaults that no other layer of settings overrides; empty without any."""
    used = [
        f"{section}.{key}={value}"
        for section, values in defaults.items()
        for key, value in values.items()
        if key not in (layers.get(section) or {})
    ]
    return f"Defaults for pretrained weights: {', '.join(used)}." if used else ""


def check_finetuning(config: RunConfig) -> None:
    """Refuse settings that keep or compare with the initial weights if those are random.

    Raises:
        InputError: The run starts from random weights.
    """
    if config.backbone.starts_from_weights:
        return
    hint = "set backbone.weights to a file or backbone.pretrained to true, or leave it out"
    problem = "needs pretrained weights, and this run starts from random ones"
    if config.finetune.train != "full":
        raise InputError("finetune.train", f"{config.finetune.train} {problem}", hint)
    if config.finetune.distill:
        raise InputError("finetune.distill", problem, hint)


def freeze(encoder: nn.Module, settings: FinetuneSettings, random_entries: Sequence[str] = ()) -> None:
    """Freeze the parts of a backbone that the settings do not train.

    Args:
        random_entries: Entries that the initial weights do not contain, each with a reason after its name.

    Raises:
        InputError: The backbone does not allow it, or a frozen entry would keep random values.
    """
    if settings.train == "full":
        return
    train_last_blocks(encoder, settings.blocks)
    frozen = {name for name, parameter in encoder.named_parameters() if not parameter.requires_grad}
    random = [entry for entry in random_entries if entry.split()[0] in frozen]
    if random:
        problem = f"{settings.train} would freeze random values, which the initial weights do not contain: {random[0]}"
        raise InputError("finetune.train", problem, "set it to full, or backbone.stem to standard")
