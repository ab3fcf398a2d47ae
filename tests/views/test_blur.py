"""Gaussian blur and the high-pass filter, against torchvision and the golden case."""

import pytest
import torch
from golden import golden_cases, golden_tensors
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from coarsecon.views.blur import RandomGaussianBlur, gaussian_blur, high_pass


def test_blur_agrees_with_torchvision(images: Tensor) -> None:
    sigma = torch.linspace(0.1, 2.0, len(images))
    ours = gaussian_blur(images, sigma)
    theirs = torch.stack(
        [TF.gaussian_blur(image, [23, 23], [s, s]) for image, s in zip(images, sigma.tolist(), strict=True)]
    )
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=0)


def test_blur_of_images_that_are_not_square(images: Tensor) -> None:
    cut = images[:, :, :20]
    ours = gaussian_blur(cut, torch.full((len(cut),), 1.5), kernel=9)
    torch.testing.assert_close(ours, TF.gaussian_blur(cut, [9, 9], [1.5, 1.5]), atol=1e-3, rtol=0)


def test_a_kernel_wider_than_the_image_is_cut_to_fit(images: Tensor) -> None:
    small = images[..., :8, :8]
    ours = gaussian_blur(small, torch.full((len(small),), 2.0), kernel=23)
    torch.testing.assert_close(ours, TF.gaussian_blur(small, [15, 15], [2.0, 2.0]), atol=1e-3, rtol=0)


def test_blur_happens_with_its_probability_and_range_of_sigma(generator: torch.Generator) -> None:
    """A bright point's height after the blur tells its sigma."""
    points = torch.zeros(4000, 1, 17, 17)
    points[:, :, 8, 8] = 255
    heights = RandomGaussianBlur((0.1, 2.0), p=0.5)(points, generator)[:, 0, 8, 8]
    assert abs((heights < 255).float().mean() - 0.5 * 0.93) < 0.03  # below sigma 0.23 the point stays
    lowest = gaussian_blur(points[:1], torch.tensor([2.0]))[0, 0, 8, 8]
    assert lowest <= heights.min() < lowest * 1.02
    median = gaussian_blur(points[:1], torch.tensor([1.05]))[0, 0, 8, 8]
    share_above_median_sigma = (heights < median).float().mean()
    assert abs(share_above_median_sigma - 0.25) < 0.03


@pytest.mark.parametrize("case", golden_cases("highpass"))
def test_high_pass_matches_the_golden_case(case: dict) -> None:
    tensors = golden_tensors(case)
    torch.testing.assert_close(high_pass(tensors["image"]), tensors["highpass"], atol=1e-4, rtol=1e-4)
