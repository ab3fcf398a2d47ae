"""Where the pixels of a view come from: random crops resized with antialiasing, flips, perspective."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.views.batch import ImageBatch
from coarsecon.views.batched import apply_separable, apply_where, chance, constant, per_sample, uniform


@dataclass(frozen=True)
class RandomResizedCrop:
    """A random part of the image, resized to the square; with probability `flip` mirrored too, at no cost.

    `scale` is the range of its share of the image's area, `ratio` that of its width over its height.
    """

    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.0

    def __call__(self, batch: ImageBatch, size: int, generator: torch.Generator) -> Tensor:
        """float32 [N, 3, size, size], whole numbers in 0..255."""
        boxes = random_crop_boxes(batch.sizes, self.scale, self.ratio, generator)
        return resized_crop(batch.pixels, boxes, size, flip=chance(len(boxes), self.flip, generator))


@dataclass(frozen=True)
class WholeImage:
    """The whole image, resized to the square; draws nothing."""

    def __call__(self, batch: ImageBatch, size: int, generator: torch.Generator | None = None) -> Tensor:
        """float32 [N, 3, size, size], whole numbers in 0..255."""
        boxes = torch.cat([torch.zeros_like(batch.sizes), batch.sizes], dim=1)
        return resized_crop(batch.pixels, boxes, size)


@dataclass(frozen=True)
class RandomFlip:
    """Mirrors left and right with probability p."""

    p: float = 0.5

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """[N, 3, S, S] -> the same."""
        return torch.where(per_sample(chance(len(images), self.p, generator)), images.flip(-1), images)


@dataclass(frozen=True)
class RandomPerspective:
    """With probability p, the square seen aslant: corners move inwards by up to distortion / 2 of a side."""

    distortion: float = 0.5
    p: float = 0.5

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """[N, 3, S, S] -> the same."""
        n, size = len(images), images.shape[-1]
        corners = random_corners(n, size, self.distortion, generator)
        return apply_where(chance(n, self.p, generator), perspective, images, corners)


def random_crop_boxes(
    sizes: Tensor, scale: tuple[float, float], ratio: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """The first of ten random boxes that fits the image, else its largest central box of an allowed ratio.

    Area and place are uniform, width over height log-uniform (Szegedy et al. 2015, the Inception crop).
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


def resized_crop(pixels: Tensor, boxes: Tensor, size: int, flip: Tensor | None = None) -> Tensor:
    """The boxes of the images, resized to the square as PIL's antialiased bilinear filter does, and rounded.

    `pixels` uint8 [N, 3, H, W], `boxes` [N, 4] (top, left, height, width), `flip` [N] (whether to mirror left
    and right) -> float32 [N, 3, size, size], whole numbers in 0..255. No pixel outside the box counts.
    """
    top, left, height, width = boxes.unbind(1)
    rows = resize_matrices(top, height, pixels.shape[2], size)
    columns = resize_matrices(left, width, pixels.shape[3], size)
    if flip is not None:
        columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    return apply_separable(pixels, rows, columns).round_()


def resize_matrices(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """Matrices [N, size, side] that resize `length` [N] pixels from `start` [N] on to `size` pixels.

    A row holds the weights of a triangle two target pixels wide, two source pixels if that is more, cut off
    at the ends of the stretch.
    """
    start, length = start[:, None, None], length[:, None, None]
    step = length / size
    source = torch.arange(side, device=start.device)
    target = torch.arange(size, device=start.device)[:, None]
    distance = (source + 0.5 - (start + (target + 0.5) * step)).abs_()
    weights = distance.div_(step.clamp(min=1)).neg_().add_(1).clamp_(min=0)
    weights *= (source >= start) & (source < start + length)
    return weights.div_(weights.sum(dim=2, keepdim=True))


def random_corners(n: int, size: int, distortion: float, generator: torch.Generator) -> Tensor:
    """Where the corners of the square go: [n, 4, 2] (x, y) in pixels, clockwise from the top left.

    Each coordinate moves inwards by whole pixels, uniform in 0..distortion * size // 2.
    """
    bound = int(distortion * (size // 2)) + 1
    inwards = torch.randint(bound, (n, 4, 2), generator=generator, device=generator.device)
    corners = corners_of_square(size, inwards.device)
    return torch.where(corners == 0, inwards, corners - inwards)


def perspective(images: Tensor, corners: Tensor) -> Tensor:
    """The images [N, C, S, S] with their corners moved to `corners` [N, 4, 2] (x, y) in pixels, black around.

    Bilinear, and cut off hard at the edge of the image, as PIL does.
    """
    n, _, size, _ = images.shape
    original = corners_of_square(size, images.device)
    homography = homographies(corners * (2 / size) - 1, original * (2 / size) - 1)
    centres = (torch.arange(size, device=images.device) * 2 + 1) / size - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(-1, 3) @ homography.mT
    grid = (points[..., :2] / points[..., 2:]).view(n, size, size, 2)
    sampled = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled * ((grid >= -1) & (grid < 1)).all(dim=-1)[:, None]


def homographies(points: Tensor, images: Tensor) -> Tensor:
    """The projective maps [N, 3, 3] that take four `points` [N, 4, 2] each to their `images` [4, 2].

    Coordinates around -1..1 keep the equations well conditioned in float32.
    """
    n = len(points)
    x, y = points.unbind(2)
    u, v = images.expand_as(points).unbind(2)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    # u (g x + h y + 1) = a x + b y + c and v (g x + h y + 1) = d x + e y + f, for the unknowns a to h
    for_u = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=2)
    for_v = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=2)
    # solve_ex, as solve has the host wait to check for singular matrices
    solution, _ = torch.linalg.solve_ex(torch.cat([for_u, for_v], dim=1), torch.cat([u, v], dim=1))
    return torch.cat([solution, one[:, :1]], dim=1).view(n, 3, 3)


def corners_of_square(size: int, device: torch.device) -> Tensor:
    """[4, 2] (x, y) in pixels, clockwise from the top left."""
    end = size - 1
    return constant((0, 0, end, 0, end, end, 0, end), device).view(4, 2)
