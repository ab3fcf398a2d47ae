"""Defaults of runs that start from pretrained weights."""

from collections.abc import Mapping
from typing import Any

from coarsecon.config import RunConfig

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
