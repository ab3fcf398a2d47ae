"""Masked views: every number of the drawn masks, and what masked pixels become."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from coarsecon.views import masking
from coarsecon.views.masking import (
    HARD_NEGATIVE,
    POSITIVE,
    draw_masks,
    draw_patches,
    draw_window,
    mask_images,
    patch_grid,
    random_patches,
    to_pixels,
)

N = 4000


@pytest.fixture
def foreground() -> Tensor:
    """[N, 49]: 1 to 49 foreground patches, at random places."""
    generator = torch.Generator().manual_seed(3)
    count = torch.randint(1, 50, (N,), generator=generator)
    return random_patches(torch.ones(N, 49, dtype=torch.bool), count, generator)


def fixed(kind: masking.MaskKind, ratio: float) -> masking.MaskKind:
    return replace(kind, ratio=(ratio, ratio))


def is_focal(masks: Tensor, kind: masking.MaskKind, width: int) -> Tensor:
    """Which of the masks [N, C, S, S] are a window's, the same in all channels."""
    inside = ~masks if kind.positive else masks
    rows, columns = inside.any(3), inside.any(2)
    square = (rows.sum(2) == width) & (columns.sum(2) == width) & (inside.sum((2, 3)) == width * width)
    return (square & (inside == inside[:, :1]).all(3).all(2)).all(1)


@pytest.mark.parametrize(("side", "grid"), [(224, 7), (32, 4), (24, 3), (64, 7), (84, 7), (40, 5), (16, 2), (256, 7)])
def test_the_grid_follows_the_side(side, grid):
    assert patch_grid(side) == grid


def test_exactly_as_many_random_patches_as_asked_for(generator):
    allowed = torch.rand(N, 49, generator=generator) < 0.6
    count = torch.randint(0, 15, (N,), generator=generator)
    chosen = random_patches(allowed, count, generator)
    assert torch.equal(chosen.sum(1), count)
    assert not (chosen & ~allowed).any()
    one = random_patches(torch.ones(N, 49, dtype=torch.bool), torch.ones(N), generator).float().mean(0)
    assert (one - 1 / 49).abs().max() < 0.012  # each as likely as any other
    few = random_patches(torch.eye(49, dtype=torch.bool), torch.full((49,), 7), generator)
    assert torch.equal(few, torch.eye(49, dtype=torch.bool))


@pytest.mark.parametrize("ratio", [0.05, 0.13, 0.25])
def test_a_positive_mask_hides_foreground_and_background_in_proportion(foreground, generator, ratio):
    patches = draw_patches(foreground, fixed(POSITIVE, ratio), generator)[:, 0]
    for present, masked in zip(foreground, patches, strict=True):
        inside = round(ratio * int(present.sum()))
        assert int((masked & present).sum()) == inside
        assert int((masked & ~present).sum()) == max(int(49 * ratio) - inside, 0)


@pytest.mark.parametrize("ratio", [0.41, 0.62, 0.69])
def test_a_hard_negative_loses_foreground_alone(foreground, generator, ratio):
    patches = draw_patches(foreground, fixed(HARD_NEGATIVE, ratio), generator)[:, 0]
    for present, masked in zip(foreground, patches, strict=True):
        assert int((masked & present).sum()) == round(ratio * int(present.sum()))
        assert not (masked & ~present).any()


def test_ratios_are_uniform_in_their_ranges(generator):
    many = torch.ones(N, 4900, dtype=torch.bool)  # fine enough to read the ratio off the masks
    for kind, low, high in ((POSITIVE, 0.05, 0.25), (HARD_NEGATIVE, 0.4, 0.7)):
        share = draw_patches(many[:1000], kind, generator).float().mean((1, 2))
        assert low - 1e-3 <= share.min() < low + 0.005
        assert high - 0.005 < share.max() <= high + 1e-3
        assert abs(share.mean() - (low + high) / 2) < 0.01
        assert abs(share.std() - (high - low) / 12**0.5) < 0.005


def test_hp_masks_at_most_55_in_100_patches_as_foreground(generator):
    whole = torch.ones(200, 49, dtype=torch.bool)
    kind = fixed(HARD_NEGATIVE, 0.7)
    grid_masks = draw_masks(whole, 224, kind, "hp", generator)
    grid_masks = grid_masks[~is_focal(grid_masks, kind, 130)]
    assert (grid_masks.sum((2, 3)) == 27 * 32 * 32).all()  # round(0.55 * 49)
    others = draw_masks(whole[:50], 224, kind, "mean", generator)
    assert (others.sum((2, 3)) == 34 * 32 * 32).all()  # round(0.7 * 49)


@pytest.mark.parametrize(("kind", "width"), [(POSITIVE, 50), (HARD_NEGATIVE, 32)])
def test_hp_draws_focal_same_and_separate_masks_in_their_shares(foreground, generator, kind, width):
    masks = draw_masks(foreground[foreground.sum(1) > 15], 56, kind, "hp", generator)
    assert masks.shape[1:] == (3, 56, 56)
    focal = is_focal(masks, kind, width)
    assert abs(focal.float().mean() - 0.2) < 0.025
    rest = masks[~focal]
    same = (rest == rest[:, :1]).flatten(1).all(1)
    assert abs(same.float().mean() - 0.3) < 0.03
    counts = rest.sum((2, 3))
    assert (counts == counts[:, :1]).all()  # one ratio for all channels
    cells = rest.unflatten(3, (7, 8)).unflatten(2, (7, 8))
    assert torch.equal(cells.any(5).any(3), cells.all(5).all(3))  # whole cells


@pytest.mark.parametrize("strategy", ["blur", "mean"])
def test_the_other_strategies_mask_the_same_patches_in_all_channels_and_have_no_focal_masks(
    foreground, generator, strategy
):
    masks = draw_masks(foreground[:150], 224, POSITIVE, strategy, generator)
    assert masks.shape[1:] == (1, 224, 224)
    assert not is_focal(masks, POSITIVE, 200).any()


@pytest.mark.parametrize(
    ("side", "kind", "width"),
    [(224, POSITIVE, 200), (224, HARD_NEGATIVE, 130), (32, POSITIVE, 29), (32, HARD_NEGATIVE, 19)],
)
def test_windows_scale_with_the_side(foreground, generator, side, kind, width):
    few = foreground[:150, : patch_grid(side) ** 2]
    focal = is_focal(draw_masks(few, side, kind, "hp", generator), kind, width)
    assert 0.08 < focal.float().mean() < 0.35


def test_windows_are_anywhere_within_the_image(generator):
    windows = draw_window(N, 32, 19, generator)[:, 0]
    for axis in (1, 2):
        start = windows.any(axis).float().argmax(1)
        counts = torch.bincount(start, minlength=14)
        assert len(counts) == 14
        assert counts.min() > 0.7 * N / 14
    assert (windows.sum((1, 2)) == 19 * 19).all()


@pytest.mark.parametrize("side", [32, 50, 64, 84, 225])
def test_patches_cover_every_pixel_once_whatever_the_side(side):
    grid = patch_grid(side)
    pixels = to_pixels(torch.eye(grid * grid, dtype=torch.bool)[:, None], side)[:, 0]
    assert (pixels.sum(0) == 1).all()
    heights, widths = pixels.any(2).sum(1), pixels.any(1).sum(1)
    assert heights.max() - heights.min() <= 1
    assert widths.max() - widths.min() <= 1
    assert pixels[1, 0, side // grid + 1]  # the second patch is the one to the right of the first


@pytest.mark.parametrize("kind", [POSITIVE, HARD_NEGATIVE])
@pytest.mark.parametrize("strategy", ["hp", "blur", "mean"])
def test_the_foreground_that_is_masked_lies_where_it_is(generator, kind, strategy):
    left = torch.zeros(300, 4, 4, dtype=torch.bool)
    left[:, :, 0] = True
    masks = draw_masks(left.flatten(1), 32, kind, strategy, generator).float()
    masks = masks[~is_focal(masks.bool(), kind, 29 if kind.positive else 19)]
    if kind.positive:
        assert abs(masks[..., :8].mean() - masks[..., 8:].mean()) < 0.1
    else:
        assert masks[..., :8].mean() > 0.3
        assert masks[..., 8:].sum() == 0


@pytest.mark.parametrize(("kind", "std"), [(POSITIVE, 0.18), (HARD_NEGATIVE, 0.14)])
def test_hp_fills_with_noise_of_its_own_for_every_pixel(generator, kind, std):
    images = torch.full((200, 3, 32, 32), 9.0)
    masked = mask_images(images, torch.ones(200, 16, dtype=torch.bool), kind, "hp", generator)
    noise = masked[masked != 9]
    assert abs(noise.std() - std) < 0.002
    assert abs(noise.mean()) < 0.002
    assert len(noise.unique()) > 0.98 * len(noise)


@pytest.mark.parametrize("strategy", ["blur", "mean"])
@pytest.mark.parametrize("side", [32, 96])
def test_blur_and_mean_fill_with_the_view_itself(generator, strategy, side):
    images = torch.randn(8, 3, side, side, generator=generator)
    foreground = torch.ones(8, patch_grid(side) ** 2, dtype=torch.bool)
    masked = mask_images(images, foreground, HARD_NEGATIVE, strategy, generator)
    if strategy == "blur":
        expected = TF.gaussian_blur(images, [31, 31], [10.0, 10.0])
    else:
        expected = images.mean((2, 3), keepdim=True).expand_as(images)
    changed = (masked != images).all(1, keepdim=True).expand_as(images)
    torch.testing.assert_close(masked[changed], expected[changed])
    assert torch.equal(masked[~changed], images[~changed])
    assert 0.3 < changed.float().mean() < 0.75


@pytest.mark.parametrize("strategy", ["hp", "blur", "mean"])
def test_the_same_state_of_the_generator_gives_the_same_masks_and_the_images_stay(strategy):
    images = torch.randn(6, 3, 32, 32)
    before = images.clone()
    foreground = torch.rand(6, 16) < 0.5
    first, second = (
        mask_images(images, foreground, POSITIVE, strategy, torch.Generator().manual_seed(5)) for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(images, before)
