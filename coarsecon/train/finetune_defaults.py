"""Defaults of runs that start from pretrained weights; the command line imports them, so torch is not."""

from collections.abc import Mapping
from typing import Any

from coarsecon.config import RunConfig
from coarsecon.train.length import default_batch_size

METHOD = "cnce"
"""Method of a run that starts from weights and names none; it had the best recall within coarse classes on photos."""

LR = {"sgd": 0.02, "lars": 0.1, "adamw": 1e-4}
"""Peak learning rates that keep pretrained features, by optimizer."""


def finetune_defaults(images: int, optimizer: str = "sgd") -> dict[str, Any]:
    """Return the default settings of a run that starts from pretrained weights; every other layer of settings wins.

    Args:
        images: Number of training images.
        optimizer: Name of the optimizer, which the learning rate depends on.
    """
    return {
        "optimizer": {"lr": LR[optimizer]},
        "schedule": {"epochs": max(5, min(15, 150_000 // images))},
        "finetune": {"ema": 0.99},
        "run": {
            "monitor_every": 1,
            "best_by": "within-coarse",
            "batch_size": min(64, default_batch_size(images)),
        },
        "data": {"validation": 0.1},
    }


def default_method(layers: Mapping[str, Any]) -> str:
    """Return the name of the method of a run whose layers of settings name none.

    Settings without a name are those of maskcon, the default of earlier versions.
    """
    backbone = layers.get("backbone") or {}
    starts_from_weights = backbone.get("weights") is not None or backbone.get("pretrained")
    return METHOD if starts_from_weights and not layers.get("method") and "recipe" not in layers else "maskcon"


def defaults_of(config: RunConfig, layers: Mapping[str, Any], images: int) -> dict[str, Any]:
    """Return `finetune_defaults` for a run that starts from weights, and nothing for any other.

    A recipe has the settings that its paper published. The settings of a saved run are complete, and those of an
    earlier version must stay as they were; they all name their recipe, or that there is none.
    """
    if not config.backbone.starts_from_weights or "recipe" in layers:
        return {}
    return finetune_defaults(images, config.optimizer.name)


def describe(defaults: Mapping[str, Any], layers: Mapping[str, Any], config: RunConfig) -> str:
    """Name the defaults that the resolved settings took, and no other layer gave; empty without any."""
    used = [
        f"{section}.{key}={value}"
        for section, values in defaults.items()
        for key, value in values.items()
        if key not in (layers.get(section) or {}) and getattr(getattr(config, section), key) == value
    ]
    return f"Defaults for pretrained weights: {', '.join(used)}." if used else ""
