"""Pooling of the tokens of a transformer: its class token, the mean of its patch tokens, or both."""

from typing import Any

import torch
from torch import Tensor, nn

from coarsecon.config import Pooling
from coarsecon.errors import InputError

TIMM_NAMES = {"cls": "token", "mean": "avg"}
"""timm's names of poolings."""


class ConcatenatedPooling:
    """Mixin of a timm transformer whose features are its class token and the mean of its patch tokens [N, 2 D]."""

    def forward_head(self: Any, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool tokens [N, T, D] in both ways and concatenate."""
        pooled = torch.cat([self.fc_norm(self.pool(x, pool_type=name)) for name in TIMM_NAMES.values()], dim=1)
        return self.head_drop(pooled)


def possible_poolings(model: nn.Module) -> list[Pooling]:
    """Return the poolings that `set_pooling` accepts for a network; none for a convolutional one."""
    has_tokens = callable(getattr(model, "pool", None)) and hasattr(model, "fc_norm")
    if not has_tokens or hasattr(model, "dist_token"):  # a distilled head reads two tokens
        return []
    return ["mean"] if getattr(model, "cls_token", None) is None else ["cls", "mean", "both"]


def set_pooling(model: nn.Module, pooling: Pooling) -> None:
    """Change the pooling of a timm transformer without a classifier; its norms stay where they are.

    Raises:
        InputError: The network has no tokens, or no class token.
    """
    possible = possible_poolings(model)
    if pooling not in possible:
        name = getattr(model, "pretrained_cfg", {}).get("architecture", type(model).__name__)
        problem = f"{name} has no {'class token' if possible else 'tokens to pool'}"
        hint = f"choose {' or '.join(possible)}, or leave it out" if possible else "leave it out"
        raise InputError("backbone.pooling", problem, hint)
    changed: Any = model
    changed.reset_classifier(0, TIMM_NAMES["mean" if pooling == "both" else pooling])
    if pooling == "both":
        width = 2 * changed.num_features
        changed.__class__ = type(type(model).__name__, (ConcatenatedPooling, type(model)), {})
        changed.head_hidden_size = width


def pooling_arguments(model: nn.Module, pooling: Pooling | None) -> dict[str, Any]:
    """Return the arguments of `timm.create_model` for a network that `set_pooling` has changed.

    Raises:
        InputError: timm has no such pooling.
    """
    if pooling is None:
        return {}
    if pooling == "both":
        raise InputError("backbone.pooling", "timm has no concatenation of class token and mean", "export as ONNX")
    is_normed_later = not isinstance(model.fc_norm, nn.Identity)
    name = "use_fc_norm" if type(model).__module__.endswith(".eva") else "fc_norm"
    return {"global_pool": TIMM_NAMES[pooling], name: is_normed_later}
