"""Geometry of views: random crops resized with antialiasing, flips, perspective."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.views.batch import ImageBatch
from coarsecon.views.batched import apply_separable, apply_where, chance, constant, per_sample, uniform

Interpolation = Literal["bilinear", "bicubic"]
"""Kernel of antialiased resizing, as in PIL."""

ResizeMode = Literal["square", "shorter"]
"""Sides that are resized: both to the same length, or the shorter one, keeping the aspect ratio."""


@dataclass(frozen=True)
class RandomResizedCrop:
    """A random crop resized to the square, and mirrored with probability `flip`.

    `scale` is the range of the fraction of the image's area, `ratio` that of width over height.
    """

    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.0
    interpolation: Interpolation = "bilinear"

    def __call__(self, batch: ImageBatch, size: int, generator: torch.Generator) -> Tensor:
        """Return float32 [N, 3, size, size], integers in 0..255."""
        boxes = random_crop_boxes(batch.sizes, self.scale, self.ratio, generator)
        flip = chance(len(boxes), self.flip, generator)
        return resized_crop(batch.pixels, boxes, size, flip=flip, interpolation=self.interpolation)


@dataclass(frozen=True)
class Resize:
    """The center of the resized image; draws nothing.

    Resizes both sides (`mode` square) or the shorter one to floor(size / crop_pct) pixels and crops the center to
    `size`, as timm's evaluation transform does with crop_mode squash or center. The default is the complete image.
    """

    mode: ResizeMode = "square"
    interpolation: Interpolation = "bilinear"
    crop_pct: float = 1.0

    def __call__(self, batch: ImageBatch, size: int, generator: torch.Generator | None = None) -> Tensor:
        """Return float32 [N, 3, size, size], integers in 0..255."""
        length = resized_length(size, self.crop_pct)
        if self.mode == "square":
            resized = torch.full_like(batch.sizes, length)
        else:
            resized = length * batch.sizes // batch.sizes.amin(dim=1, keepdim=True)
        first = ((resized - size) / 2).round()  # half to even, as torchvision's CenterCrop
        height, width = batch.sizes.unbind(1)
        start = torch.zeros_like(height)
        (below, right), (tall, wide) = first.unbind(1), resized.unbind(1)
        kernel = self.interpolation
        rows = resize_matrices(start, height, batch.pixels.shape[2], size, kernel, resized=tall, first=below)
        columns = resize_matrices(start, width, batch.pixels.shape[3], size, kernel, resized=wide, first=right)
        return resized_pixels(batch.pixels, rows, columns, kernel)


def resized_length(size: int, crop_pct: float) -> int:
    """Return the length in pixels that images are resized to before the center crop of `size` pixels."""
    return math.floor(size / crop_pct)


@dataclass(frozen=True)
class RandomFlip:
    """Horizontal flip with probability p."""

    p: float = 0.5

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Flip images [N, 3, S, S]."""
        return torch.where(per_sample(chance(len(images), self.p, generator)), images.flip(-1), images)


@dataclass(frozen=True)
class RandomPerspective:
    """Perspective with probability p: the corners move inwards by up to distortion / 2 of the image size."""

    distortion: float = 0.5
    p: float = 0.5

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Distort images [N, 3, S, S]."""
        n, size = len(images), images.shape[-1]
        corners = random_corners(n, size, self.distortion, generator)
        return apply_where(chance(n, self.p, generator), perspective, images, corners)


def random_crop_boxes(
    sizes: Tensor, scale: tuple[float, float], ratio: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Draw the first of ten random boxes that fits the image, else its largest central box of an allowed ratio.

    Area and position are uniform, width over height log-uniform (Szegedy et al. 2015, the Inception crop).
    `sizes` int64 [N, 2] (height, width) -> int64 [N, 4] (top, left, height, width).
    """
    tries = (len(sizes), 10)
    height, width = sizes.float().unbind(1)
    area = uniform(tries, *scale, generator) * (height * width)[:, None]
    aspect = uniform(tries, math.log(ratio[0]), math.log(ratio[1]), generator).exp()
    boxes = torch.stack([(area / aspect).sqrt(), (area * aspect).sqrt()], dim=2).round().long()
    fits = ((boxes > 0) & (boxes <= sizes[:, None])).all(dim=2)
    first = fits.int().argmax(dim=1)[:, None, None]
    tallest, widest = (width / ratio[0]).round(), (height * ratio[1]).round()
    central = torch.stack([height.minimum(tallest), width.minimum(widest)], dim=1).long()

    any_fits = fits.any(dim=1, keepdim=True)
    box = torch.where(any_fits, boxes.take_along_dim(first, dim=1).squeeze(1), central)
    room = sizes - box
    corner = (uniform(room.shape, 0, 1, generator) * (room + 1)).long().minimum(room)
    return torch.cat([torch.where(any_fits, corner, room // 2), box], dim=1)


def resized_crop(
    pixels: Tensor,
    boxes: Tensor,
    size: int,
    flip: Tensor | None = None,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Resize the boxes of the images to the square as PIL's antialiased filters do, and round.

    `pixels` uint8 [N, 3, H, W], `boxes` [N, 4] (top, left, height, width), `flip` [N] (mirror left and right)
    -> float32 [N, 3, size, size], integers in 0..255. Pixels outside the box have no influence.
    """
    top, left, height, width = boxes.unbind(1)
    rows = resize_matrices(top, height, pixels.shape[2], size, interpolation)
    columns = resize_matrices(left, width, pixels.shape[3], size, interpolation)
    if flip is not None:
        columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    return resized_pixels(pixels, rows, columns, interpolation)


def resized_pixels(pixels: Tensor, rows: Tensor, columns: Tensor, interpolation: Interpolation) -> Tensor:
    """Apply the matrices of `resize_matrices` to `pixels` and round; returns float32, integers in 0..255.

    The bicubic kernel overshoots at edges, so its values are cut to 0..255 after each direction, as in PIL.
    """
    if interpolation == "bilinear":
        return apply_separable(pixels, rows, columns).round_()
    return apply_separable(pixels, rows, columns, each=lambda values: values.round_().clamp_(0, 255))


def resize_matrices(
    start: Tensor,
    length: Tensor,
    source_size: int,
    size: int,
    interpolation: Interpolation = "bilinear",
    *,
    resized: Tensor | int | None = None,
    first: Tensor | int = 0,
) -> Tensor:
    """Compute matrices [N, size, source_size] that resize `length` [N] pixels from `start` [N] on.

    The result has `resized` [N] pixels (default: `size`), of which `size` from `first` [N] on are computed. A row has
    the weights of the kernel around its target pixel, cropped to the resized pixels: a triangle two target pixels wide,
    or the cubic with a = -0.5, four wide (source pixels where those are larger).
    """
    start, length = start[:, None, None], length[:, None, None]
    if isinstance(resized, Tensor):
        resized = resized[:, None, None]
    if isinstance(first, Tensor):
        first = first[:, None, None]
    step = length / (size if resized is None else resized)
    source = torch.arange(source_size, device=start.device)
    target = torch.arange(size, device=start.device)[:, None] + first
    distance = (source + 0.5 - (start + (target + 0.5) * step)).abs_().div_(step.clamp(min=1))
    weights = distance.neg_().add_(1).clamp_(min=0) if interpolation == "bilinear" else cubic(distance)
    weights *= (source >= start) & (source < start + length)
    return weights.div_(weights.sum(dim=2, keepdim=True))


def cubic(distance: Tensor) -> Tensor:
    """Compute Keys' cubic kernel with a = -0.5, as PIL's BICUBIC (Keys 1981, equation 4)."""
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))


def random_corners(n: int, size: int, distortion: float, generator: torch.Generator) -> Tensor:
    """Draw new corners of the square: [n, 4, 2] (x, y) in pixels, clockwise from the top left.

    Each coordinate moves inwards by an integer, uniform in 0..distortion * size // 2.
    """
    bound = int(distortion * (size // 2)) + 1
    inwards = torch.randint(bound, (n, 4, 2), generator=generator, device=generator.device)
    corners = corners_of_square(size, inwards.device)
    return torch.where(corners == 0, inwards, corners - inwards)


def perspective(images: Tensor, corners: Tensor) -> Tensor:
    """Move the corners of the images [N, C, S, S] to `corners` [N, 4, 2] (x, y) in pixels, with black around.

    Bilinear, with a hard edge of the image, as in PIL.
    """
    n, _, size, _ = images.shape
    original = corners_of_square(size, images.device)
    homography = homographies(corners * (2 / size) - 1, original * (2 / size) - 1)
    centers = (torch.arange(size, device=images.device) * 2 + 1) / size - 1
    y, x = torch.meshgrid(centers, centers, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(-1, 3) @ homography.mT
    grid = (points[..., :2] / points[..., 2:]).view(n, size, size, 2)
    sampled = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled * ((grid >= -1) & (grid < 1)).all(dim=-1)[:, None]


def homographies(points: Tensor, images: Tensor) -> Tensor:
    """Compute the projective maps [N, 3, 3] from four `points` [N, 4, 2] each to their `images` [4, 2].

    Coordinates around -1..1 keep the equations well conditioned in float32.
    """
    n = len(points)
    x, y = points.unbind(2)
    u, v = images.expand_as(points).unbind(2)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    # u (g x + h y + 1) = a x + b y + c and v (g x + h y + 1) = d x + e y + f, for the unknowns a to h
    for_u = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=2)
    for_v = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=2)
    # solve_ex, because solve synchronizes to check for singular matrices
    solution, _ = torch.linalg.solve_ex(torch.cat([for_u, for_v], dim=1), torch.cat([u, v], dim=1))
    return torch.cat([solution, one[:, :1]], dim=1).view(n, 3, 3)


def corners_of_square(size: int, device: torch.device) -> Tensor:
    """Return [4, 2] (x, y) in pixels, clockwise from the top left."""
    end = size - 1
    return constant((0, 0, end, 0, end, end, 0, end), device).view(4, 2)
