"""Low-rank adapters (LoRA) of a pretrained backbone: small trainable additions to frozen weights."""

import re
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from coarsecon.errors import InputError
from coarsecon.nn.freezing import fix_batch_norm
from coarsecon.runtime.extras import require_extra

ADAPTER = "default"
"""Name of peft's only adapter of a layer."""

BASE = "base_layer."
"""Prefix of the frozen parameters of a layer with an adapter."""


def load_peft() -> Any:
    """Import peft; raises InputError if it is not installed."""
    return require_extra("lora", "peft", needed_by="finetune.train", instead="set finetune.train to last-blocks")


def add_adapters(model: nn.Module, rank: int, image_size: int) -> None:
    """Freeze a network, and add adapters to its linear layers and convolutions, in place.

    A layer with weights W then computes with W + B A (Hu et al., ICLR 2022, with alpha = rank). A has `rank` outputs
    and the kernel of the layer, B has `rank` inputs and starts at 0, so the network first computes what it did before.
    Batch norms keep their running statistics.

    Args:
        model: A timm model.
        rank: Rank of the product B A.
        image_size: Size in pixels of an image that the network takes.

    Raises:
        InputError: peft is not installed, or no layer is wider than `rank`.
    """
    peft = load_peft()
    names = adaptable_layers(model, rank, image_size)
    if not names:
        problem = f"{rank} is not below the width of any layer of {type(model).__name__}"
        raise InputError("finetune.lora_rank", problem, "set it to a smaller number")
    config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules="|".join(map(re.escape, names)))
    peft.inject_adapter_in_model(config, model, ADAPTER)
    fix_batch_norm(model)


@torch.no_grad()
def adaptable_layers(model: nn.Module, rank: int, image_size: int) -> list[str]:
    """Return the names of the layers that get adapters: those of attention and MLPs, and dense convolutions.

    Layers with at most `rank` inputs or outputs are left out, and so are layers whose weights the network uses without
    calling the layer, because an adapter has no effect there.
    """
    layers = {module: name for name, module in model.named_modules() if _is_adaptable(module, rank)}
    called: set[nn.Module] = set()
    training = model.training
    with ExitStack() as hooks:
        for module in layers:
            hooks.callback(module.register_forward_hook(lambda module, *_: called.add(module)).remove)
        model.eval()(torch.zeros(1, 3, image_size, image_size))
    model.train(training)
    return [name for module, name in layers.items() if module in called]


def _is_adaptable(module: nn.Module, rank: int) -> bool:
    """Return whether a layer is linear in its weights, wider than `rank`, and of a form that peft can merge."""
    if type(module) is nn.Linear:
        return min(module.in_features, module.out_features) > rank
    if type(module) is not nn.Conv2d:
        return False
    is_dense = module.groups == 1 and set(module.dilation) == {1} and module.padding_mode == "zeros"
    return is_dense and min(module.in_channels, module.out_channels) > rank


@torch.no_grad()
def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state of a network with its adapters added to the weights, by the names without adapters."""
    state: dict[str, Tensor] = model.state_dict()
    for name, layer in model.named_modules():
        if isinstance(getattr(layer, "base_layer", None), nn.Module):
            _merge(state, f"{name}.", layer)
    return state


def _merge(state: dict[str, Tensor], prefix: str, layer: Any) -> None:
    own = {key.removeprefix(prefix): state.pop(key) for key in list(state) if key.startswith(prefix)}
    base = {key.removeprefix(BASE): value for key, value in own.items() if key.startswith(BASE)}
    base["weight"] = base["weight"] + layer.get_delta_weight(ADAPTER)
    state.update({f"{prefix}{key}": value for key, value in base.items()})
