"""Tools for operations on a batch with separate parameters per sample."""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return the values as a float32 tensor, copied to the device only once: every copy synchronizes."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def uniform(shape: int | tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draw from U(low, high) on the generator's device."""
    return torch.empty(shape, device=generator.device).uniform_(low, high, generator=generator)


def chance(n: int, p: float, generator: torch.Generator) -> Tensor:
    """Draw [n] booleans, each true with probability p."""
    return uniform(n, 0, 1, generator) < p


def per_sample(values: Tensor) -> Tensor:
    """Reshape [N] to [N, 1, 1, 1], to broadcast over images."""
    return values[:, None, None, None]


def apply_where(mask: Tensor, op: Callable[..., Tensor], images: Tensor, *parameters: Tensor) -> Tensor:
    """Return `op(images, *parameters)` for the samples where `mask` [N] is true, and the others unchanged.

    Every parameter has N rows. On the CPU only the chosen samples are computed. Elsewhere all of them are, because
    counting the chosen ones would synchronize with the device.
    """
    if images.device.type != "cpu" or torch.compiler.is_compiling():
        return torch.where(per_sample(mask), op(images, *parameters), images)
    chosen = mask.nonzero().squeeze(1)
    if len(chosen) == 0:
        return images
    return images.index_copy(0, chosen, op(images[chosen], *(values[chosen] for values in parameters)))


def apply_separable(
    images: Tensor, rows: Tensor, columns: Tensor, each: Callable[[Tensor], Tensor] = lambda values: values
) -> Tensor:
    """Compute rows @ image @ columns^T for every sample and channel, with `each` applied after each product.

    `images` [N, C, H, W] of any type, `rows` [N, S, H], `columns` [N, T, W] float32 -> float32 [N, C, S, T].
    """
    n, channels, height, width = images.shape
    narrowed = each(images.float().reshape(n, channels * height, width) @ columns.mT)
    return each(rows[:, None] @ narrowed.view(n, channels, height, -1))
