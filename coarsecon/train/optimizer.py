"""The optimiser of a run: SGD as in the papers, or AdamW, which transformers learn better with."""

from typing import Any

import torch
from torch import nn

from coarsecon.config import OptimizerSettings
from coarsecon.errors import InputError

FUSED = ("cpu", "cuda")
"""Devices where torch updates all parameters in one go."""

MOST_OF_ADAMW = 0.01
"""The largest learning rate that is taken for AdamW's: its steps are of the rate's own size, whatever the gradient."""


def check_optimizer(settings: OptimizerSettings) -> None:
    """Refuse a learning rate that was meant for SGD, as those of methods and recipes are.

    Raises:
        InputError: the rate is no use to AdamW.
    """
    if settings.name == "adamw" and settings.lr > MOST_OF_ADAMW:
        raise InputError(
            f"optimizer.lr: {settings.lr} is a rate for SGD; AdamW wants one of about 1e-5 to {MOST_OF_ADAMW}: "
            "pass --set optimizer.lr=5e-4"
        )


def build_optimizer(method: nn.Module, settings: OptimizerSettings, device: torch.device) -> torch.optim.Optimizer:
    """The optimiser of the parameters that are trained.

    SGD decays all of them, as the papers' code does. AdamW leaves biases and the scales of norms alone, as timm's and
    DINOv2's do; `momentum` is its first beta.
    """
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    rate, decay, fused = settings.lr, settings.weight_decay, device.type in FUSED
    if settings.name == "adamw":
        vectors = [parameter for parameter in trained if parameter.ndim < 2]
        others = [parameter for parameter in trained if parameter.ndim >= 2]
        groups: list[dict[str, Any]] = [{"params": others}, {"params": vectors, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=rate, betas=(settings.momentum, 0.999), weight_decay=decay, fused=fused)
    return torch.optim.SGD(
        trained, lr=rate, momentum=settings.momentum, weight_decay=decay, nesterov=settings.nesterov, fused=fused
    )
