"""Tools for operations that act on a whole batch with parameters of their own for every sample."""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """The values as a float32 tensor, copied to the device only once: the host waits for every such copy."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def uniform(shape: int | tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draws from U(low, high) on the generator's device."""
    return torch.empty(shape, device=generator.device).uniform_(low, high, generator=generator)


def chance(n: int, p: float, generator: torch.Generator) -> Tensor:
    """[n] booleans, each true with probability p."""
    return uniform(n, 0, 1, generator) < p


def per_sample(values: Tensor) -> Tensor:
    """[N] -> [N, 1, 1, 1], to go with a batch of images."""
    return values[:, None, None, None]


def apply_where(mask: Tensor, op: Callable[..., Tensor], images: Tensor, *parameters: Tensor) -> Tensor:
    """`op(images, *parameters)` for the samples where `mask` [N] is true, the others as they are.

    Every parameter has N rows. On the CPU only the chosen samples are computed. Elsewhere all of them are: to
    count the chosen ones, the host would have to wait for the device.
    """
    if images.device.type != "cpu" or torch.compiler.is_compiling():
        return torch.where(per_sample(mask), op(images, *parameters), images)
    chosen = mask.nonzero().squeeze(1)
    if len(chosen) == 0:
        return images
    return images.index_copy(0, chosen, op(images[chosen], *(values[chosen] for values in parameters)))


def apply_separable(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows @ image @ columns^T for every sample and channel.

    `images` [N, C, H, W] of any type, `rows` [N, S, H], `columns` [N, T, W] float32 -> float32 [N, C, S, T].
    """
    n, channels, height, width = images.shape
    narrowed = images.float().reshape(n, channels * height, width) @ columns.mT
    return rows[:, None] @ narrowed.view(n, channels, height, -1)
