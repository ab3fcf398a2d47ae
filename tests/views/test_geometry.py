"""Crops, flips and perspective, against PIL and torchvision."""

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from coarsecon.views.batch import ImageBatch
from coarsecon.views.geometry import (
    RandomFlip,
    RandomPerspective,
    RandomResizedCrop,
    Resize,
    corners_of_square,
    perspective,
    random_corners,
    random_crop_boxes,
    resized_crop,
)

SCALE, RATIO = (0.2, 1.0), (3 / 4, 4 / 3)


def largest_gap(ours: Tensor, theirs: Tensor) -> float:
    """The Kolmogorov-Smirnov statistic of two samples."""
    at = torch.cat([ours, theirs]).unique().float()
    shares = [torch.searchsorted(x.float().sort().values, at, right=True) / len(x) for x in (ours, theirs)]
    return (shares[0] - shares[1]).abs().max().item()


@pytest.mark.parametrize("size", [(32, 32), (48, 90), (90, 48), (30, 60)])
def test_crop_boxes_follow_torchvisions_distribution(size: tuple[int, int], generator: torch.Generator) -> None:
    ours = random_crop_boxes(torch.tensor(size).expand(20_000, 2), SCALE, RATIO, generator)
    image, crop = torch.zeros(3, *size), v2.RandomResizedCrop(32, scale=SCALE, ratio=RATIO)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = [crop.make_params([image]) for _ in range(4000)]
    for column, name in enumerate(("top", "left", "height", "width")):
        theirs = torch.tensor([box[name] for box in drawn])
        assert largest_gap(ours[:, column], theirs) < 0.03, name
        assert ours[:, column].min() <= theirs.min()
        assert ours[:, column].max() >= theirs.max()


def test_boxes_stay_inside_the_image_and_in_scale_and_ratio(generator: torch.Generator) -> None:
    sizes = torch.randint(20, 500, (5000, 2), generator=generator)
    top, left, height, width = random_crop_boxes(sizes, SCALE, RATIO, generator).unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (height > 0).all()
    assert (width > 0).all()
    assert (top + height <= sizes[:, 0]).all()
    assert (left + width <= sizes[:, 1]).all()
    assert ((width - 1) / (height + 1) < 4 / 3).all()
    assert ((width + 1) / (height - 1) > 3 / 4).all()


@pytest.mark.parametrize(
    ("size", "box"),
    [((10, 400), (0, 193, 10, 13)), ((400, 10), (193, 0, 13, 10)), ((12, 100), (0, 42, 12, 16))],
)
def test_where_no_box_fits_the_central_one_is_taken(
    size: tuple[int, int], box: tuple[int, ...], generator: torch.Generator
) -> None:
    boxes = random_crop_boxes(torch.tensor(size).expand(50, 2), (0.9, 1.0), RATIO, generator)
    assert (boxes == torch.tensor(box)).all()


def test_resized_crop_agrees_with_pil(padded: ImageBatch, generator: torch.Generator) -> None:
    """To one step of 255: PIL also rounds between its two passes."""
    for size in (16, 32, 64):
        boxes = random_crop_boxes(padded.sizes, SCALE, RATIO, generator)
        ours = resized_crop(padded.pixels, boxes, size)
        for image, pixels, box in zip(ours, padded.pixels, boxes.tolist(), strict=True):
            crop = TF.crop(TF.to_pil_image(pixels), *box)
            theirs = TF.pil_to_tensor(crop.resize((size, size), Image.Resampling.BILINEAR))
            difference = (image - theirs).abs()
            assert difference.max() <= 1
            assert difference.mean() < 0.25


def test_a_flipped_crop_is_the_crop_mirrored(padded: ImageBatch, generator: torch.Generator) -> None:
    boxes = random_crop_boxes(padded.sizes, SCALE, RATIO, generator)
    flip = torch.arange(len(padded)) % 2 == 0
    plain, flipped = resized_crop(padded.pixels, boxes, 32), resized_crop(padded.pixels, boxes, 32, flip=flip)
    assert torch.equal(flipped[::2], plain[::2].flip(-1))
    assert torch.equal(flipped[1::2], plain[1::2])


@pytest.mark.parametrize("crop", [RandomResizedCrop(flip=0.5), Resize()])
def test_padding_never_leaks(crop: RandomResizedCrop | Resize, padded: ImageBatch) -> None:
    loud = padded.pixels.clone()
    for image, (height, width) in zip(loud, padded.sizes.tolist(), strict=True):
        image[:, height:] = 255
        image[:, :, width:] = 255
    for seed in range(5):
        quiet_view = crop(padded, 32, torch.Generator().manual_seed(seed))
        loud_view = crop(ImageBatch(loud, padded.sizes), 32, torch.Generator().manual_seed(seed))
        assert torch.equal(quiet_view, loud_view)


def test_the_whole_image_is_resized_as_by_pil(padded: ImageBatch) -> None:
    ours = Resize()(padded, 24)
    for image, pixels, (height, width) in zip(ours, padded.pixels, padded.sizes.tolist(), strict=True):
        picture = TF.to_pil_image(pixels[:, :height, :width])
        theirs = TF.pil_to_tensor(picture.resize((24, 24), Image.Resampling.BILINEAR))
        assert (image - theirs).abs().max() <= 1


def test_an_image_of_the_right_size_passes_the_test_crop_unchanged(images: Tensor) -> None:
    assert torch.equal(Resize()(ImageBatch.full(images.byte()), 32), images)


def test_flips_happen_with_their_probability(generator: torch.Generator) -> None:
    images = torch.arange(2.0).expand(10_000, 3, 2, 2)
    flipped = RandomFlip(0.3)(images, generator)[:, 0, 0, 0]
    assert abs(flipped.mean() - 0.3) < 0.02
    crop = RandomResizedCrop(scale=(1, 1), ratio=(1, 1), flip=0.5)
    flipped = crop(ImageBatch.full(images.byte()), 2, generator)[:, 0, 0, 0]
    assert abs(flipped.mean() - 0.5) < 0.02


@pytest.mark.parametrize("size", [32, 33])
def test_corners_follow_torchvisions_distribution(size: int, generator: torch.Generator) -> None:
    ours = random_corners(20_000, size, 0.5, generator).flatten(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = [transforms.RandomPerspective.get_params(size, size, 0.5)[1] for _ in range(3000)]
    theirs = torch.tensor(drawn).flatten(1)
    for coordinate in range(8):
        assert largest_gap(ours[:, coordinate], theirs[:, coordinate]) < 0.03
        assert ours[:, coordinate].min() == theirs[:, coordinate].min()
        assert ours[:, coordinate].max() == theirs[:, coordinate].max()


def test_perspective_agrees_with_pil(images: Tensor, pictures: list[Image.Image], generator: torch.Generator) -> None:
    """To one step of 255 (PIL cuts off decimals), but for a few pixels whose origin is on the edge."""
    corners = random_corners(len(images), 32, 0.5, generator)
    ours = perspective(images, corners)
    square = corners_of_square(32, images.device).int().tolist()
    theirs = torch.stack(
        [
            TF.pil_to_tensor(TF.perspective(picture, square, ends, fill=0))
            for picture, ends in zip(pictures, corners.int().tolist(), strict=True)
        ]
    )
    assert ((ours - theirs).abs() > 1.01).float().mean() < 0.001


def test_corners_that_stay_leave_the_image_as_it_is(images: Tensor) -> None:
    corners = corners_of_square(32, images.device).expand(len(images), 4, 2)
    torch.testing.assert_close(perspective(images, corners), images, atol=0.02, rtol=0)


def test_perspective_happens_with_its_probability(generator: torch.Generator) -> None:
    images = torch.full((4000, 3, 16, 16), 200.0)
    seen_aslant = (RandomPerspective(0.5, p=0.5)(images, generator) == 0).flatten(1).any(dim=1)
    nowhere_moved = (1 / 5) ** 8
    assert abs(seen_aslant.float().mean() - 0.5 * (1 - nowhere_moved)) < 0.03
