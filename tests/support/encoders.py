"""Runs that hold an encoder and nothing else, of any backbone: made in a moment."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TINY_BACKBONE
from torch import nn

from coarsecon.config import BackboneSettings, RunConfig, to_yaml
from coarsecon.nn.backbone import create_backbone, resolve_stem
from coarsecon.nn.encoder import EncoderCard, InputTransform, save_encoder
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.files import atomic_write

FAMILIES: dict[str, tuple[dict[str, Any], int]] = {
    "resnet18 small": ({"name": "resnet18", "stem": "small"}, 32),
    "resnet18 small-pool": ({"name": "resnet18", "stem": "small-pool"}, 64),
    "resnet18 standard": ({"name": "resnet18", "stem": "standard"}, 64),
    "resnet50 small": ({"name": "resnet50", "stem": "small"}, 16),
    "resnet50 standard": ({"name": "resnet50", "stem": "standard"}, 64),
    "resnet12": ({"name": "resnet12", "stem": "standard", "args": {"drop_rate": 0.1, "dropblock_size": 2}}, 32),
    "deep": ({**TINY_BACKBONE, "stem": "small"}, 32),
}
"""Every backbone family that recipes use, with a side in pixels."""

EVERY = [pytest.param(name, marks=pytest.mark.slow if "resnet50" in name else ()) for name in FAMILIES]
FEW = [pytest.param(name, marks=() if name in ("resnet12", "deep") else pytest.mark.slow) for name in FAMILIES]
"""All of them too, with fewer among the quick tests."""


def randomise(model: nn.Module) -> nn.Module:
    """Batch norm as a trained network has it: no layer may be left out unnoticed."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
    return model


def encoder_run(root: Path, family: str, *, stem: str | None = None, **recipe: Any) -> RunFolder:
    """A run folder with config and encoder alone, with weights of its own."""
    settings, side = FAMILIES[family]
    backbone = BackboneSettings(**settings | ({"stem": stem} if stem else {}))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = randomise(create_backbone(backbone, side))
    values = {"size": side, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.25), **recipe}
    card = EncoderCard(backbone=resolve_stem(backbone, side), input=InputTransform(**values))
    run = RunFolder(root)
    atomic_write(run.config_file, to_yaml(RunConfig(backbone=backbone)))
    save_encoder(model, card, run.encoder())
    return run
