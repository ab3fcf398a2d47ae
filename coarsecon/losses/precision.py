"""Losses compute in full precision: a temperature of 0.05 multiplies a rounding error of bfloat16 by twenty."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """Run `loss` outside autocast, with half-precision tensors raised to float32 (float64 stays as it is)."""

    @functools.wraps(loss)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(value.device.type for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        with torch.autocast(device, enabled=False):
            positional: Any = [to_float32(value) if isinstance(value, Tensor) else value for value in args]
            named: Any = {
                name: to_float32(value) if isinstance(value, Tensor) else value for name, value in kwargs.items()
            }
            return loss(*positional, **named)

    return wrapper


def _to_float32(value: Any) -> Any:
    return to_float32(value) if isinstance(value, Tensor) else value


def to_float32(values: Tensor) -> Tensor:
    """Half-precision values as float32; all others as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def l2_normalize(vectors: Tensor, eps: float = 1e-12) -> Tensor:
    """The rows of `vectors` [..., D] scaled to length 1; a row no longer than eps becomes zero, with zero gradient.

    Dividing it by eps instead, as is usual, would give it a gradient of 1 / eps.
    """
    norm = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return torch.where(norm <= eps, 0, vectors / norm.clamp(min=eps))  # this way round, not a number stays so
