"""Color changes with a separate strength per image: jitter in random order, and grayscale."""

from dataclasses import dataclass

import torch
from torch import Tensor

from coarsecon.views.batched import apply_where, chance, per_sample, uniform


@dataclass(frozen=True)
class ColorJitter:
    """With probability p, random changes of brightness, contrast, saturation and hue, in a random order.

    The first three factors are uniform in 1 - x .. 1 + x (not below 0), the shift of the hue in -x .. x.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    p: float = 1.0

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Jitter images [N, 3, S, S] in 0..255."""
        n = len(images)
        steps = (
            (adjust_brightness, uniform(n, max(0, 1 - self.brightness), 1 + self.brightness, generator)),
            (adjust_contrast, uniform(n, max(0, 1 - self.contrast), 1 + self.contrast, generator)),
            (adjust_saturation, uniform(n, max(0, 1 - self.saturation), 1 + self.saturation, generator)),
            (adjust_hue, uniform(n, -self.hue, self.hue, generator)),
        )
        order = uniform((n, len(steps)), 0, 1, generator).argsort(dim=1)
        jittered = chance(n, self.p, generator)
        for turn in order.unbind(1):
            for index, (adjust, strength) in enumerate(steps):
                images = apply_where(jittered & (turn == index), adjust, images, strength)
        return images


@dataclass(frozen=True)
class RandomGrayscale:
    """Grayscale with probability p."""

    p: float = 0.2

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Convert images [N, 3, S, S] in 0..255; they keep three channels."""
        chosen = chance(len(images), self.p, generator)
        return apply_where(chosen, lambda colored: grayscale(colored).expand_as(colored), images)


def grayscale(images: Tensor) -> Tensor:
    """Compute the luma of ITU-R 601: [N, 3, H, W] -> [N, 1, H, W]."""
    red, green, blue = images.split(1, dim=1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def blend(target: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """Compute target + factor [N] * (images - target), clamped to 0..255; a factor above 1 extrapolates."""
    return torch.lerp(target, images, per_sample(factor)).clamp_(0, 255)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend the images [N, 3, H, W] with black, by a factor [N]."""
    return (images * per_sample(factor)).clamp_(0, 255)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend the images [N, 3, H, W] with their mean gray level, by a factor [N]."""
    return blend(grayscale(images).mean(dim=(2, 3), keepdim=True), images, factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend the images [N, 3, H, W] with their grayscale versions, by a factor [N]."""
    return blend(grayscale(images), images, factor)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Rotate the HSV hue of the images [N, 3, H, W] by a shift [N]; 1 is the full circle."""
    red, green, blue = images.split(1, dim=1)
    low, high = images.aminmax(dim=1, keepdim=True)
    chroma = high - low
    slope = 1 / chroma.clamp(min=1e-6)
    hue = torch.where(high == green, (blue - red) * slope + 2, (red - green) * slope + 4)
    hue = torch.where(high == red, (green - blue) * slope, hue)  # in sixths of the circle, red at 0
    hue = hue + 6 * per_sample(shift)
    # A channel is highest up to one sixth from its own hue, and falls to the lowest over the next sixth.
    distance = (torch.remainder(torch.cat([hue + 3, hue + 1, hue - 1], dim=1), 6) - 3).abs_()
    return high - chroma * (distance - 1).clamp_(0, 1)
