"""AutoAugment's policy for CIFAR-10 (Cubuk et al., CVPR 2019) as MaskCon uses it, with one sub-policy per sample."""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.views.batched import apply_where, per_sample
from coarsecon.views.color import blend, grayscale

FILL = 128

# Table 7 of the paper, except that number 16 has the second probability of MaskCon's code: 0.8, not 0.6.
# Each sub-policy is two of (operation, probability, level of 0..9).
CIFAR10_POLICY = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.8, 0)),
    (("color", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 0)),
)

AFFINE = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
ENHANCE = ("brightness", "color", "contrast", "sharpness")
LOOKUP = ("posterize", "solarize", "autocontrast", "equalize", "invert")
OPERATIONS = AFFINE + ENHANCE + LOOKUP
NOTHING = len(OPERATIONS)  # the index of no operation
SIGNED = len(AFFINE + ENHANCE)  # operations with a lower index have a random sign


@dataclass(frozen=True)
class AutoAugment:
    """One of 25 sub-policies per sample: two operations in sequence, each with its probability."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augment images [N, 3, S, S] in 0..255; the results are integers."""
        operations, magnitudes = random_operations(len(images), images.shape[-1], generator)
        images = images.round()
        for operation, magnitude in zip(operations.unbind(1), magnitudes.unbind(1), strict=True):
            images = apply_operations(images, operation, magnitude)
        return images


def random_operations(n: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw for n images of `size` pixels: indices of OPERATIONS or NOTHING [n, 2], and magnitudes [n, 2]."""
    operation, probability, magnitude = policy_tensors(size, generator.device)
    drawn = torch.randint(len(operation), (n,), generator=generator, device=generator.device)
    happens, sign = torch.rand(2, n, 2, generator=generator, device=generator.device)
    operation, magnitude = operation[drawn], magnitude[drawn]
    negated = (operation < SIGNED) & (sign < 0.5)
    happening = torch.where(happens < probability[drawn], operation, NOTHING)
    return happening, torch.where(negated, -magnitude, magnitude)


@lru_cache
def policy_tensors(size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return operation, probability and magnitude of the sub-policies for images of `size` pixels, [25, 2] each."""
    entries = [entry for sub_policy in CIFAR10_POLICY for entry in sub_policy]
    operation = torch.tensor([OPERATIONS.index(name) for name, _, _ in entries], device=device)
    probability = torch.tensor([p for _, p, _ in entries], device=device)
    magnitude = torch.tensor([magnitude_of(name, level, size) for name, _, level in entries], device=device)
    return operation.view(-1, 2), probability.view(-1, 2), magnitude.view(-1, 2)


def magnitude_of(name: str, level: int, size: int) -> float:
    """Convert a level of 0..9 to the magnitude of an operation on images of `size` pixels, without its sign.

    The tangent of a shear, the pixels of a translation (not rounded), the degrees of a rotation, the factor of a blend
    minus 1, the bits that posterize keeps, or the lowest value that solarize inverts.
    """
    fraction = level / 9
    if name.startswith("translate"):
        return fraction * 150 / 331 * size
    if name.startswith("shear"):
        return 0.3 * fraction
    if name in ENHANCE:
        return 0.9 * fraction
    others = {"rotate": 30 * fraction, "posterize": 8.0 - round(4 * fraction), "solarize": 255 * (1 - fraction)}
    return others.get(name, 0.0)


def apply_operations(images: Tensor, operation: Tensor, magnitude: Tensor) -> Tensor:
    """Apply to each image [N, 3, S, S], of integers, its operation [N] (of OPERATIONS, or NOTHING)."""
    affine = operation < len(AFFINE)
    enhanced = ~affine & (operation < SIGNED)
    looked_up = (operation >= SIGNED) & (operation < NOTHING)
    images = apply_where(affine, transform, images, operation, magnitude)
    images = apply_where(enhanced, enhance, images, operation, magnitude)
    return apply_where(looked_up, look_up, images, operation, magnitude)


def transform(images: Tensor, operation: Tensor, magnitude: Tensor) -> Tensor:
    """Apply the operations of AFFINE: shear about the top left corner, translate, rotate about the center."""
    n, channels, size, _ = images.shape
    shear_x, shear_y, right, down, degrees = (
        torch.where(operation == OPERATIONS.index(name), magnitude, 0)[:, None, None] for name in AFFINE
    )
    cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    x = torch.arange(size, device=images.device) + 0.5
    y = x[:, None]
    from_left, from_top = x - size / 2, y - size / 2
    source_x = (cos * from_left - sin * from_top + size / 2 + shear_x * y - right).floor()
    source_y = (sin * from_left + cos * from_top + size / 2 + shear_y * x - down).floor()
    inside = (source_x >= 0) & (source_x < size) & (source_y >= 0) & (source_y < size)
    source = torch.where(inside, source_y * size + source_x, 0).long().view(n, 1, -1).expand(-1, channels, -1)
    return torch.where(inside[:, None], images.flatten(2).gather(2, source).view_as(images), FILL)


def enhance(images: Tensor, operation: Tensor, magnitude: Tensor) -> Tensor:
    """Apply the operations of ENHANCE: blend with black, the gray image, its mean or the smoothed image."""
    index = per_sample(operation)
    gray = grayscale(images).round()
    target = torch.where(index == OPERATIONS.index("color"), gray, 0)
    mean = gray.mean(dim=(2, 3), keepdim=True).round()
    target = torch.where(index == OPERATIONS.index("contrast"), mean, target)
    target = torch.where(index == OPERATIONS.index("sharpness"), smooth(images), target)
    return blend(target, images, 1 + magnitude).floor_()


def smooth(images: Tensor) -> Tensor:
    """Average 3x3 pixels with weight 5 for the middle one; pixels at the edge are unchanged."""
    smoothed = images.clone()
    inner = smoothed[..., 1:-1, 1:-1]
    inner.mul_(4).add_(9 * F.avg_pool2d(images, 3, stride=1)).div_(13).round_()
    return smoothed


def look_up(images: Tensor, operation: Tensor, magnitude: Tensor) -> Tensor:
    """Apply the operations of LOOKUP: a table of 256 entries per channel."""
    pixels = images.long().flatten(2)
    counts = torch.zeros(*pixels.shape[:2], 256, dtype=torch.long, device=images.device)
    counts.scatter_add_(2, pixels, torch.ones_like(pixels))
    value = torch.arange(256.0, device=images.device)
    magnitude = magnitude[:, None, None]
    step = 2 ** (8 - magnitude)
    tables = {
        "posterize": value.div(step, rounding_mode="floor") * step,
        "solarize": torch.where(value < magnitude, value, 255 - value),
        "autocontrast": autocontrast_table(counts, value),
        "equalize": equalize_table(counts, value),
        "invert": 255 - value,
    }
    chosen = value.expand(counts.shape)
    for name, table in tables.items():
        chosen = torch.where((operation == OPERATIONS.index(name))[:, None, None], table, chosen)
    return chosen.gather(2, pixels).view_as(images)


def autocontrast_table(counts: Tensor, value: Tensor) -> Tensor:
    """Stretch each channel to 0..255: `counts` [N, 3, 256] of every `value` [256] -> table [N, 3, 256]."""
    occurs = counts > 0
    low = torch.where(occurs, value, 255).amin(dim=2, keepdim=True)
    high = torch.where(occurs, value, 0).amax(dim=2, keepdim=True)
    stretched = ((value - low) * 255).div((high - low).clamp(min=1), rounding_mode="floor").clamp(0, 255)
    return torch.where(high > low, stretched, value)


def equalize_table(counts: Tensor, value: Tensor) -> Tensor:
    """Equalize the histogram of each channel: `counts` [N, 3, 256] of every `value` [256] -> table [N, 3, 256]."""
    below = (counts.cumsum(dim=2) - counts).float()
    all_but_highest = torch.where(counts > 0, below, 0).amax(dim=2, keepdim=True)
    step = all_but_highest.div(255, rounding_mode="floor")
    spread = (below + (step / 2).floor()).div(step.clamp(min=1), rounding_mode="floor").clamp(max=255)
    return torch.where(step > 0, spread, value)
