"""Gaussian blur with a separate sigma per image, and the high-pass filter based on it."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from coarsecon.views.batched import apply_separable, apply_where, chance, uniform

HIGH_PASS_KERNEL, HIGH_PASS_SIGMA = 11, 5.0
"""Size in taps and sigma in pixels of the blur that the high-pass filter subtracts."""


@dataclass(frozen=True)
class RandomGaussianBlur:
    """With probability p, a Gaussian blur of `kernel` taps with a sigma, in pixels, uniform in `sigma`."""

    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 0.5
    kernel: int = 23

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Blur images [N, 3, S, S]."""
        sigma = uniform(len(images), *self.sigma, generator)
        chosen = chance(len(images), self.p, generator)
        return apply_where(chosen, partial(gaussian_blur, kernel=self.kernel), images, sigma)


def gaussian_blur(images: Tensor, sigma: Tensor, kernel: int = 23) -> Tensor:
    """Blur the images [N, C, H, W] by Gaussians of `sigma` [N] pixels and `kernel` taps, an odd number.

    The images are mirrored at their edges; a kernel too wide for that is cropped.
    """
    height, width = images.shape[-2:]
    return apply_separable(images, blur_matrices(sigma, height, kernel), blur_matrices(sigma, width, kernel))


def blur_matrices(sigma: Tensor, length: int, kernel: int) -> Tensor:
    """Return the blur along an axis of `length` pixels, as matrices [N, length, length]."""
    radius = min(kernel // 2, length - 1)
    offset = torch.arange(-radius, radius + 1, device=sigma.device)
    taps = torch.softmax(-0.5 * (offset / sigma[:, None]) ** 2, dim=1)
    position = torch.arange(length, device=sigma.device)
    source = (offset[:, None] + position).abs()
    source = (length - 1) - (length - 1 - source).abs()
    reads = (source[..., None] == position).to(taps.dtype)  # [taps, length, length]: 1 where a tap reads a pixel
    return (taps @ reads.flatten(1)).view(-1, length, length)


def high_pass(images: Tensor) -> Tensor:
    """Subtract their Gaussian blur from the images [N, C, H, W] (Chin et al., WACV 2024)."""
    return images - gaussian_blur(images, images.new_full((len(images),), HIGH_PASS_SIGMA), HIGH_PASS_KERNEL)
