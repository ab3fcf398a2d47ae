"""Colour operations, against torchvision and PIL, and the draws of the jitter."""

from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from coarsecon.views import color
from coarsecon.views.color import ColorJitter, RandomGrayscale, grayscale

ADJUSTMENTS = {
    color.adjust_brightness: TF.adjust_brightness,
    color.adjust_contrast: TF.adjust_contrast,
    color.adjust_saturation: TF.adjust_saturation,
}


@pytest.mark.parametrize("adjust", ADJUSTMENTS)
@pytest.mark.parametrize("low", [0.0, 0.6, 1.0])
def test_blends_agree_with_pil_and_torchvision(
    adjust: Callable, low: float, images: Tensor, pictures: list[Image.Image]
) -> None:
    """With torchvision on floats to its rougher luma; with PIL to its rounded target and cut-off decimals."""
    factors = torch.linspace(low, low + 0.8, len(images))
    ours = adjust(images, factors)
    for image, original, picture, factor in zip(ours, images, pictures, factors.tolist(), strict=True):
        theirs = ADJUSTMENTS[adjust](original / 255, factor) * 255
        torch.testing.assert_close(image, theirs, atol=0.05, rtol=0)
        difference = image - TF.pil_to_tensor(ADJUSTMENTS[adjust](picture, factor))
        assert difference.abs().max() <= 1.01 + abs(1 - factor)


def test_hue_agrees_with_torchvision(images: Tensor) -> None:
    shifts = torch.linspace(-0.5, 0.5, len(images))
    ours = color.adjust_hue(images, shifts)
    for image, original, shift in zip(ours, images, shifts.tolist(), strict=True):
        torch.testing.assert_close(image, TF.adjust_hue(original / 255, shift) * 255, atol=0.02, rtol=0)


def test_a_third_of_the_circle_takes_red_to_green_and_leaves_gray() -> None:
    red, gray = torch.tensor([200.0, 0, 0]), torch.tensor([90.0, 90, 90])
    pair = torch.stack([red, gray])[:, :, None, None]
    turned = color.adjust_hue(pair, torch.tensor([1 / 3, 1 / 3])).flatten(1)
    torch.testing.assert_close(turned, torch.stack([red.roll(1), gray]), atol=1e-3, rtol=0)


def test_gray_agrees_with_pil(images: Tensor, pictures: list[Image.Image]) -> None:
    for image, picture in zip(grayscale(images).round(), pictures, strict=True):
        assert (image - TF.pil_to_tensor(picture.convert("L"))).abs().max() <= 1


def test_grayscale_happens_with_its_probability(images: Tensor, generator: torch.Generator) -> None:
    many = images[:1].expand(5000, -1, -1, -1)[..., :2, :2]
    grayed = RandomGrayscale(0.2)(many, generator)
    is_gray = (grayed == grayed[:, :1]).flatten(1).all(dim=1)
    assert abs(is_gray.float().mean() - 0.2) < 0.02
    assert torch.equal(grayed[~is_gray], many[~is_gray])


def test_jitter_draws_order_and_strengths_for_every_sample(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    orders, strengths = defaultdict(list), defaultdict(dict)
    names = ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")
    for name in names:

        def record(images: Tensor, values: Tensor, name: str = name) -> Tensor:
            for sample, value in zip(images[:, 0, 0, 0].int().tolist(), values.tolist(), strict=True):
                orders[sample].append(name)
                strengths[name][sample] = value
            return images

        monkeypatch.setattr(color, name, record)
    n = 6000
    samples = torch.arange(float(n))[:, None, None, None].expand(n, 3, 1, 1)
    ColorJitter(0.4, 0.3, 0.2, 0.1, p=0.8)(samples, generator)

    assert abs(len(orders) / n - 0.8) < 0.02
    counts = Counter(tuple(order) for order in orders.values())
    assert set(counts) == set(permutations(names))
    assert max(counts.values()) / min(counts.values()) < 1.6
    for name, centre, reach in zip(names, (1, 1, 1, 0), (0.4, 0.3, 0.2, 0.1), strict=True):
        values = torch.tensor(list(strengths[name].values()))
        quantiles = torch.quantile(values, torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]))
        expected = centre + reach * torch.tensor([-1, -0.5, 0, 0.5, 1])
        torch.testing.assert_close(quantiles, expected, atol=0.06 * reach, rtol=0)
    both = torch.tensor([[strengths[name][sample] for name in names] for sample in orders])
    assert (both.T.corrcoef() - torch.eye(4)).abs().max() < 0.05


def test_jitter_of_no_strength_changes_nothing(images: Tensor, generator: torch.Generator) -> None:
    jittered = ColorJitter(0, 0, 0, 0)(images, generator)
    torch.testing.assert_close(jittered, images, atol=1e-3, rtol=0)
