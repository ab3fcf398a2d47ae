"""The optimizer of a run: SGD as in most papers, LARS for very large batches, or AdamW for transformers."""

from typing import Any

import torch
from timm.optim import create_optimizer_v2, param_groups_layer_decay
from torch import nn

from coarsecon.config import OptimizerSettings
from coarsecon.errors import InputError

FUSED_DEVICES = ("cpu", "cuda")
"""Devices where torch updates all parameters in one kernel."""

MAX_ADAMW_LR = 0.01
"""Largest learning rate accepted for AdamW: its steps are as large as the learning rate, whatever the gradient."""


def check_optimizer(settings: OptimizerSettings) -> None:
    """Refuse a learning rate for AdamW that was meant for SGD, as those of methods and recipes are.

    Raises:
        InputError: The learning rate is too large for AdamW.
    """
    if settings.name == "adamw" and settings.lr > MAX_ADAMW_LR:
        raise InputError(
            "optimizer.lr",
            f"{settings.lr} is a learning rate for SGD; AdamW needs 1e-5 to {MAX_ADAMW_LR}",
            "set optimizer.lr to 5e-4, for example",
        )


def build_optimizer(
    model: nn.Module, settings: OptimizerSettings, device: torch.device, *, layer_decay: float = 1.0
) -> torch.optim.Optimizer:
    """Build the optimizer of the parameters that require gradients.

    SGD applies weight decay to all of them, as the papers' code does. AdamW and LARS spare biases and the scales of
    norms, as timm and SimCLR do; LARS does not adapt their learning rate either (You et al., 2017).

    With `layer_decay`, parameters of `model.encoder` have the learning rates of timm's layer-wise decay as the
    `lr_scale` of their group; all others have the full rate.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": trained}]
    if settings.name != "sgd":
        matrices = [parameter for parameter in trained if parameter.ndim >= 2]
        vectors = [parameter for parameter in trained if parameter.ndim < 2]
        groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    if layer_decay != 1:
        groups = _split_by_scale(groups, _layer_scales(model.encoder, layer_decay))
    options: dict[str, Any] = {"nesterov": settings.nesterov}
    if settings.name == "adamw":
        options = {"betas": (settings.momentum, 0.999)}
    if settings.name != "lars":
        options["fused"] = device.type in FUSED_DEVICES
    return create_optimizer_v2(groups, settings.name, settings.lr, settings.weight_decay, settings.momentum, **options)


def _layer_scales(encoder: Any, layer_decay: float) -> dict[nn.Parameter, float]:
    """Return the factor of the learning rate of every parameter: 1 in the last layer (Bao et al., 2022, BEiT)."""
    groups = param_groups_layer_decay(encoder, layer_decay=layer_decay)
    return {parameter: group["lr_scale"] for group in groups for parameter in group["params"]}


def _split_by_scale(groups: list[dict[str, Any]], scales: dict[nn.Parameter, float]) -> list[dict[str, Any]]:
    """Divide groups of parameters into those with the same factor of the learning rate, which they get."""
    divided: dict[tuple[int, float], dict[str, Any]] = {}
    for number, group in enumerate(groups):
        for parameter in group["params"]:
            scale = scales.get(parameter, 1.0)
            divided.setdefault((number, scale), {**group, "params": [], "lr_scale": scale})["params"].append(parameter)
    return list(divided.values())
