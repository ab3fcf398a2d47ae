"""Crops, flips and perspective, against PIL and torchvision."""

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from coarsecon.views.batch import ImageBatch
from coarsecon.views.geometry import (
    Interpolation,
    RandomFlip,
    RandomPerspective,
    RandomResizedCrop,
    Resize,
    ResizeMode,
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


TALL_AND_WIDE = [(37, 91), (91, 37), (20, 31), (64, 64), (131, 77), (17, 200), (50, 113), (250, 251)]


def photos(detail: int) -> list[np.ndarray]:
    """Images uint8 [H, W, 3] of every orientation, smooth over `detail` pixels, with clipped highlights and shadows."""
    generator = np.random.default_rng(0)
    made = []
    for height, width in TALL_AND_WIDE:
        coarse = generator.integers(0, 256, (height // detail + 2, width // detail + 2, 3), dtype=np.uint8)
        enlarged = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        made.append((np.asarray(enlarged).astype(float) * 1.5 - 60).clip(0, 255).astype(np.uint8))
    return made


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("mode", "crop_mode"), [("square", "squash"), ("shorter", "center")])
@pytest.mark.parametrize(
    ("size", "crop_pct"), [(32, 0.875), (33, 0.9), (64, 1.0), (112, 0.875), (45, 0.7), (300, 0.95)]
)
def test_the_center_of_an_image_is_that_of_timms_transform(
    mode: ResizeMode, crop_mode: str, interpolation: Interpolation, size: int, crop_pct: float
) -> None:
    """To one gray level, and two in a few values where PIL rounds between its passes."""
    theirs = create_transform(
        (3, size, size), crop_pct=crop_pct, crop_mode=crop_mode, interpolation=interpolation,
        mean=(0, 0, 0), std=(1, 1, 1),
    )  # fmt: skip
    images = photos(12)
    ours = Resize(mode, interpolation, crop_pct)(padded_together(images), size)
    assert ours.shape == (len(images), 3, size, size)
    for image, pixels in zip(ours, images, strict=True):
        difference = (image - 255 * theirs(Image.fromarray(pixels))).abs()
        assert difference.max() < 2.01
        assert (difference > 1.01).float().mean() < 5e-3
        assert difference.mean() < 0.25


@pytest.mark.parametrize("size", [16, 50, 200])
def test_bicubic_overshoot_is_cut_as_by_pil(size: int) -> None:
    """Black and white noise overshoots everywhere. PIL resizes rows first, except some tall images in version 13."""
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 2, (*shape, 3), dtype=np.uint8) * 255 for shape in TALL_AND_WIDE]
    ours = Resize("square", "bicubic")(padded_together(images), size)
    for image, pixels in zip(ours, images, strict=True):
        narrowed = Image.fromarray(pixels).resize((size, len(pixels)), Image.Resampling.BICUBIC)
        theirs = TF.pil_to_tensor(narrowed.resize((size, size), Image.Resampling.BICUBIC))
        assert (image - theirs).abs().max() <= 2
        assert ((image - theirs).abs() > 1).float().mean() < 1e-3


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_images_padded_together_are_cropped_as_one_by_one(interpolation: Interpolation) -> None:
    images, crop = photos(5), Resize("shorter", interpolation, 0.8)
    together = crop(padded_together(images), 40)
    for image, pixels in zip(together, images, strict=True):
        assert (image - crop(padded_together([pixels]), 40)[0]).abs().max() <= 1


def padded_together(images: list[np.ndarray]) -> ImageBatch:
    sizes = torch.tensor([image.shape[:2] for image in images])
    height, width = sizes.amax(0).tolist()
    pixels = torch.full((len(images), 3, height, width), 128, dtype=torch.uint8)  # so that padding would show
    for target, image in zip(pixels, images, strict=True):
        target[:, : len(image), : image.shape[1]] = torch.from_numpy(image.copy()).permute(2, 0, 1)
    return ImageBatch(pixels, sizes)


def test_a_bicubic_crop_agrees_with_pil(padded: ImageBatch, generator: torch.Generator) -> None:
    boxes = random_crop_boxes(padded.sizes, SCALE, RATIO, generator)
    ours = RandomResizedCrop(SCALE, RATIO, interpolation="bicubic")(padded, 32, torch.Generator().manual_seed(0))
    for image, pixels, box in zip(ours, padded.pixels, boxes.tolist(), strict=True):
        crop = TF.crop(TF.to_pil_image(pixels), *box)
        narrowed = crop.resize((32, crop.height), Image.Resampling.BICUBIC)
        theirs = TF.pil_to_tensor(narrowed.resize((32, 32), Image.Resampling.BICUBIC))
        assert (image - theirs).abs().max() <= 2


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_an_image_of_the_right_size_passes_the_test_crop_unchanged(
    images: Tensor, interpolation: Interpolation
) -> None:
    assert torch.equal(Resize(interpolation=interpolation)(ImageBatch.full(images.byte()), 32), images)


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
