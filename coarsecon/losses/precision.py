"""Full precision for losses: a temperature of 0.05 multiplies a rounding error of bfloat16 by twenty."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """Run the loss outside autocast, with half-precision tensors cast to float32 (float64 stays float64)."""

    @functools.wraps(loss)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(value.device.type for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        with torch.autocast(device, enabled=False):
            positional: Any = map(_to_float32, args)
            named: Any = {name: _to_float32(value) for name, value in kwargs.items()}
            return loss(*positional, **named)

    return wrapper


def _to_float32(value: Any) -> Any:
    return to_float32(value) if isinstance(value, Tensor) else value


def to_float32(values: Tensor) -> Tensor:
    """Cast half-precision values to float32; others are returned unchanged."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def l2_normalize(vectors: Tensor, eps: float = 1e-12) -> Tensor:
    """Scale the rows of `vectors` [..., D] to length 1; a row no longer than eps becomes zero, with zero gradient.

    Dividing such a row by eps, as usual, would give it a gradient of 1 / eps.
    """
    norm = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return torch.where(norm <= eps, 0, vectors / norm.clamp(min=eps))  # with this condition NaN stays NaN
