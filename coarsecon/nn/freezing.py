"""Freeze the early layers of a pretrained backbone."""

import re
from typing import Any

from timm.models import group_parameters
from torch import nn

from coarsecon.errors import InputError


class FixedStatistics(nn.Module):
    """Mixin of a batch norm that stays in evaluation mode, so that its running statistics never change."""

    def train(self, mode: bool = True) -> "FixedStatistics":
        """Stay in evaluation mode."""
        return super().train(False)


def _fixed_form(form: type[nn.Module]) -> type[nn.Module]:
    return type(f"Fixed{form.__name__}", (FixedStatistics, form), {})


def fix_batch_norm(module: nn.Module) -> None:
    """Keep every batch norm without trainable parameters in evaluation mode, in place; weights keep their names."""
    for norm in module.modules():
        is_norm = isinstance(norm, nn.modules.batchnorm._BatchNorm) and not isinstance(norm, FixedStatistics)
        if is_norm and not any(parameter.requires_grad for parameter in norm.parameters()):
            norm.__class__ = _fixed_form(type(norm))
            norm.eval()


def train_last_blocks(model: nn.Module, blocks: int) -> None:
    """Freeze a timm model except its last blocks and what follows them, such as the final norm.

    Blocks are those of timm's layer-wise learning-rate decay: residual blocks of a convnet, and attention blocks.

    Raises:
        InputError: timm does not group the parameters of the model, or it has no more than `blocks` blocks.
    """
    layers = layer_numbers(model)
    first = max(layers.values()) + 1 - blocks - _has_head(model)
    if first <= 0:
        count = max(layers.values()) - _has_head(model)
        problem = f"{blocks} blocks, but {type(model).__name__} has {count} after its first layer"
        raise InputError("finetune.blocks", problem, f"use at most {count}, or set finetune.train to full")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(layers[name] >= first)
    fix_batch_norm(model)


def layer_numbers(model: Any) -> dict[str, int]:
    """Return the number of the layer of every parameter by name, from 0 for the first layer.

    Raises:
        InputError: timm does not group the parameters of the model.
    """
    if not hasattr(model, "group_matcher"):
        problem = f"timm does not number the layers of {type(model).__name__}"
        raise InputError("finetune.train", problem, "set it to full")
    return dict(group_parameters(model, model.group_matcher(coarse=False), reverse=True))


def _has_head(model: Any) -> bool:
    """Return whether parameters after the blocks form a separate layer; timm counts most as parts of the last."""
    matcher = model.group_matcher(coarse=False)
    if not isinstance(matcher, dict):
        return False
    entries = [[(entry, None)] if isinstance(entry, str) else entry for entry in matcher.values() if entry]
    patterns = [pattern for each in entries for pattern, _ in each]
    return any(not any(re.match(each, name) for each in patterns) for name, _ in model.named_parameters())
