"""Gaussian blur with a width of its own for every image, and the high-pass filter made of it."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from coarsecon.views.batched import apply_separable, apply_where, chance, uniform

HIGH_PASS_KERNEL, HIGH_PASS_SIGMA = 11, 5.0
"""The blur that the high-pass filter takes away: taps, and pixels."""


@dataclass(frozen=True)
class RandomGaussianBlur:
    """With probability p, a Gaussian blur of `kernel` taps with a sigma, in pixels, uniform in `sigma`."""

    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 0.5
    kernel: int = 23

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """[N, 3, S, S] -> the same."""
        sigma = uniform(len(images), *self.sigma, generator)
        chosen = chance(len(images), self.p, generator)
        return apply_where(chosen, partial(gaussian_blur, kernel=self.kernel), images, sigma)


def gaussian_blur(images: Tensor, sigma: Tensor, kernel: int = 23) -> Tensor:
    """The images [N, C, H, W] blurred by Gaussians of `sigma` [N] pixels and `kernel` taps, an odd number.

    The images are mirrored at their edges; a kernel too wide for that on a small image is cut to fit.
    """
    height, width = images.shape[-2:]
    return apply_separable(images, blur_matrices(sigma, height, kernel), blur_matrices(sigma, width, kernel))


def blur_matrices(sigma: Tensor, side: int, kernel: int) -> Tensor:
    """The blur along an axis of `side` pixels, as matrices [N, side, side]."""
    radius = min(kernel // 2, side - 1)
    offset = torch.arange(-radius, radius + 1, device=sigma.device)
    taps = torch.softmax(-0.5 * (offset / sigma[:, None]) ** 2, dim=1)
    position = torch.arange(side, device=sigma.device)
    source = (offset[:, None] + position).abs()
    source = (side - 1) - (side - 1 - source).abs()
    reads = (source[..., None] == position).to(taps.dtype)  # [taps, side, side]: which pixel a tap reads
    return (taps @ reads.flatten(1)).view(-1, side, side)


def high_pass(images: Tensor, kernel: int = HIGH_PASS_KERNEL, sigma: float = HIGH_PASS_SIGMA) -> Tensor:
    """The images [N, C, H, W] minus their Gaussian blur (Chin et al.)."""
    return images - gaussian_blur(images, images.new_full((len(images),), sigma), kernel)
