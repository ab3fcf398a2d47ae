"""Masked views: patches chosen by saliency and filled by one of three strategies (Chin et al., WACV 2024).

A positive mask hides a little of foreground and background; a hard negative loses most of its foreground and keeps its
background.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from coarsecon.views.batched import chance, per_sample, uniform
from coarsecon.views.blur import gaussian_blur

Strategy = Literal["hp", "blur", "mean"]
"""Filling of masked patches: noise on high-pass filtered views, the blurred view, or the view's channel means."""


@dataclass(frozen=True)
class MaskKind:
    """Parameters of one kind of mask."""

    ratio: tuple[float, float]
    """Range of the fraction of patches to mask."""
    positive: bool
    """Also mask background patches, and let a focal mask hide the outside of its window instead of the inside."""
    window: int
    """Size of the focal window, in pixels of a 224 px view."""
    noise: float
    """Standard deviation of the noise (hp only)."""


POSITIVE = MaskKind(ratio=(0.05, 0.25), positive=True, window=200, noise=0.18)
HARD_NEGATIVE = MaskKind(ratio=(0.4, 0.7), positive=False, window=130, noise=0.14)

FOCAL_FRACTION = 0.2
"""Fraction of focal masks (hp only)."""
SAME_PATCHES_FRACTION = 0.3
"""Fraction of the other masks that hide the same patches in all channels (hp only)."""
MAX_FOREGROUND_FRACTION = 0.55
"""Maximum fraction of all patches that may be masked as foreground (hp only)."""


def patch_grid(image_size: int) -> int:
    """Number of patches along an axis: 7, as at 224 px, or fewer so that each has at least 8 px."""
    return max(2, min(7, image_size // 8))


def mask_images(
    images: Tensor, foreground: Tensor, kind: MaskKind, strategy: Strategy, generator: torch.Generator
) -> Tensor:
    """Mask normalized images [N, C, S, S] with one random mask of `kind` each, filled by `strategy`.

    Args:
        images: Images, already high-pass filtered for hp.
        foreground: True where a patch is foreground, booleans [N, grid * grid], row by row.
        kind: `POSITIVE` or `HARD_NEGATIVE`.
        strategy: Filling of masked pixels.
        generator: Generator on the images' device.
    """
    masks = draw_masks(foreground, images.shape[-1], kind, strategy, generator, channels=images.shape[1])
    return torch.where(masks, filling(images, kind, strategy, generator), images)


def filling(images: Tensor, kind: MaskKind, strategy: Strategy, generator: torch.Generator) -> Tensor:
    """Compute the filling of images [N, C, S, S]; the blur has 31 taps and a sigma of 10 px at every image size."""
    if strategy == "hp":
        return kind.noise * torch.randn(images.shape, generator=generator, device=images.device)
    if strategy == "blur":
        return gaussian_blur(images, images.new_full((len(images),), 10.0), kernel=31)
    return images.mean(dim=(2, 3), keepdim=True)


def draw_masks(
    foreground: Tensor,
    image_size: int,
    kind: MaskKind,
    strategy: Strategy,
    generator: torch.Generator,
    *,
    channels: int = 3,
) -> Tensor:
    """Draw masked pixels: booleans [N, C, S, S] for hp, [N, 1, S, S] for the other strategies."""
    if strategy != "hp":
        return to_pixels(draw_patches(foreground, kind, generator), image_size)
    n = len(foreground)
    patches = draw_patches(foreground, kind, generator, channels=channels, cap=MAX_FOREGROUND_FRACTION)
    same = chance(n, SAME_PATCHES_FRACTION, generator)[:, None, None]
    grid_masks = to_pixels(torch.where(same, patches[:, :1], patches), image_size)
    inside = draw_window(n, image_size, round(image_size * kind.window / 224), generator)
    focal_masks = ~inside if kind.positive else inside
    return torch.where(per_sample(chance(n, FOCAL_FRACTION, generator)), focal_masks, grid_masks)


def draw_patches(
    foreground: Tensor, kind: MaskKind, generator: torch.Generator, *, channels: int = 1, cap: float = 1.0
) -> Tensor:
    """Draw masked patches, booleans [N, channels, P], of foreground [N, P]: a ratio per sample, patches per channel.

    With a ratio r, round(r * foreground patches) are masked in the foreground, at most a fraction `cap` of all patches;
    a positive mask also hides background patches, up to floor(r * P) in total.
    """
    n, total = foreground.shape
    ratio = uniform(n, *kind.ratio, generator)
    in_foreground = (ratio * foreground.sum(1)).clamp(max=cap * total).round()
    allowed = foreground[:, None].expand(n, channels, total)
    patches = random_patches(allowed, in_foreground[:, None], generator)
    if kind.positive:
        in_background = (ratio * total).floor() - in_foreground
        patches |= random_patches(~allowed, in_background[:, None], generator)
    return patches


def random_patches(allowed: Tensor, count: Tensor, generator: torch.Generator) -> Tensor:
    """Draw exactly `count` of the allowed patches [..., P] in each row (all of them if there are fewer)."""
    order = torch.rand(allowed.shape, generator=generator, device=allowed.device)
    rank = (order + ~allowed).argsort(-1).argsort(-1)  # patches that are not allowed come last
    return (rank < count[..., None]) & allowed


def draw_window(n: int, image_size: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw squares `width` pixels wide at random positions in the image, booleans [n, 1, S, S]."""
    start = torch.randint(image_size - width + 1, (2, n, 1), generator=generator, device=generator.device)
    pixel = torch.arange(image_size, device=generator.device)
    rows, columns = (pixel >= start) & (pixel < start + width)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def to_pixels(patches: Tensor, image_size: int) -> Tensor:
    """Expand patches [N, C, grid * grid] to pixels [N, C, S, S]; cells may differ in size by one pixel."""
    grid = round(patches.shape[-1] ** 0.5)
    cell = torch.arange(image_size, device=patches.device) * grid // image_size
    return patches.unflatten(-1, (grid, grid))[..., cell[:, None], cell]
