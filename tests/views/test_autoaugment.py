"""AutoAugment: every operation against torchvision on PIL images, the policy's table and its draws."""

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from coarsecon.views.autoaugment import (
    AFFINE,
    CIFAR10_POLICY,
    NOTHING,
    OPERATIONS,
    SIGNED,
    AutoAugment,
    apply_operations,
    magnitude_of,
    random_operations,
)

PEER = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10, fill=128)
PEER_NAMES = {name.lower(): name for name in PEER._AUGMENTATION_SPACE}


def peer_name(name: str) -> str:
    return PEER_NAMES[name.replace("_", "")]


def peer_apply(picture: Image.Image, name: str, magnitude: float) -> Image.Image:
    if name.startswith("translate"):  # torchvision translates by whole pixels, MaskCon's code lets Pillow round
        right, down = (magnitude, 0) if name == "translate_x" else (0, magnitude)
        return picture.transform(
            picture.size, Image.Transform.AFFINE, (1, 0, -right, 0, 1, -down), fillcolor=(128,) * 3
        )
    if name == "solarize":
        magnitude /= 255
    return PEER._apply_image_or_video_transform(picture, peer_name(name), magnitude, PEER.interpolation, PEER._fill)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_agrees_with_torchvision(name: str, images: Tensor, pictures: list[Image.Image]) -> None:
    """Exactly but for one pixel in a hundred: a step of 255 off, or one of two equally near origins."""
    index = OPERATIONS.index(name)
    levels, signs = torch.arange(len(images)) % 10, torch.arange(len(images)) % 3 - 1
    magnitudes = torch.tensor([magnitude_of(name, level, 32) for level in levels.tolist()])
    magnitudes = torch.where((signs < 0) & (index < SIGNED), -magnitudes, magnitudes)
    ours = apply_operations(images, torch.full((len(images),), index), magnitudes)
    theirs = torch.stack(
        [
            TF.pil_to_tensor(peer_apply(picture, name, magnitude))
            for picture, magnitude in zip(pictures, magnitudes.tolist(), strict=True)
        ]
    )
    difference = (ours - theirs).abs()
    assert (difference > 0).float().mean() < 0.01
    if name not in AFFINE:
        assert difference.max() <= 1


def test_different_operations_in_one_batch_act_on_their_own_image(images: Tensor) -> None:
    operation = torch.arange(len(images)) % (NOTHING + 1)
    magnitude = torch.tensor([magnitude_of((*OPERATIONS, "invert")[i], 6, 32) for i in operation.tolist()])
    together = apply_operations(images, operation, magnitude)
    singles = zip(images.split(1), operation.split(1), magnitude.split(1), strict=True)
    assert torch.equal(together, torch.cat([apply_operations(*single) for single in singles]))
    assert torch.equal(together[operation == NOTHING], images[operation == NOTHING])


def test_the_policy_is_torchvisions_except_for_the_probability_that_maskcon_changes() -> None:
    peer = transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10).policies
    ours = [[(peer_name(name), p, level) for name, p, level in sub_policy] for sub_policy in CIFAR10_POLICY]
    theirs = [[(name, p, level or 0) for name, p, level in sub_policy] for sub_policy in peer]
    assert theirs[16] == [("Equalize", 0.2, 0), ("Equalize", 0.6, 0)]
    theirs[16][1] = ("Equalize", 0.8, 0)
    assert ours == theirs


@pytest.mark.parametrize("size", [32, 50, 96])
@pytest.mark.parametrize("name", OPERATIONS)
def test_levels_mean_what_they_mean_in_torchvision(name: str, size: int) -> None:
    of_levels, signed = PEER._AUGMENTATION_SPACE[peer_name(name)]
    assert signed == (OPERATIONS.index(name) < SIGNED)
    theirs = of_levels(10, size, size)
    if theirs is None:
        return
    if name == "solarize":
        theirs = theirs * 255
    ours = [magnitude_of(name, level, size) for level in range(10)]
    assert ours == pytest.approx(theirs.tolist(), abs=1e-4)


def test_operations_are_drawn_with_the_policys_probabilities(generator: torch.Generator) -> None:
    n = 100_000
    operations, magnitudes = random_operations(n, 32, generator)
    for turn in (0, 1):
        expected = torch.zeros(NOTHING + 1)
        for sub_policy in CIFAR10_POLICY:
            name, p, _ = sub_policy[turn]
            expected[OPERATIONS.index(name)] += p / 25
        expected[NOTHING] = 1 - expected.sum()
        drawn = operations[:, turn].bincount(minlength=NOTHING + 1) / n
        torch.testing.assert_close(drawn, expected, atol=0.006, rtol=0)
    for name in ("translate_y", "rotate", "brightness"):
        drawn_magnitudes = magnitudes[operations == OPERATIONS.index(name)]
        assert abs((drawn_magnitudes < 0).float().mean() - 0.5) < 0.02
        levels = {level for sub_policy in CIFAR10_POLICY for op, _, level in sub_policy if op == name}
        expected_magnitudes = sorted(magnitude_of(name, level, 32) for level in levels)
        assert drawn_magnitudes.abs().unique().tolist() == pytest.approx(expected_magnitudes)
    assert (magnitudes[operations == OPERATIONS.index("posterize")] > 0).all()


def test_both_operations_come_from_one_sub_policy(generator: torch.Generator) -> None:
    operations, _ = random_operations(20_000, 32, generator)
    pairs = {tuple(OPERATIONS.index(name) for name, _, _ in sub_policy) for sub_policy in CIFAR10_POLICY}
    both = operations[(operations != NOTHING).all(dim=1)]
    assert {tuple(pair) for pair in both.tolist()} <= pairs


def test_the_whole_policy_agrees_with_torchvision_given_the_draws(images: Tensor, pictures: list[Image.Image]) -> None:
    """A step of 255 in the first operation may grow in the second, in few pixels."""
    differing = []
    for seed in range(6):
        ours = AutoAugment()(images, torch.Generator().manual_seed(seed))
        operations, magnitudes = random_operations(len(images), 32, torch.Generator().manual_seed(seed))
        theirs = []
        for picture, names, strengths in zip(pictures, operations.tolist(), magnitudes.tolist(), strict=True):
            for index, strength in zip(names, strengths, strict=True):
                if index != NOTHING:
                    picture = peer_apply(picture, OPERATIONS[index], strength)
            theirs.append(TF.pil_to_tensor(picture))
        differing.append((ours - torch.stack(theirs)).abs() > 1)
    assert torch.stack(differing).float().mean() < 0.001


def test_values_between_integers_are_rounded_first(images: Tensor) -> None:
    between = (images + 0.4).clamp(max=255)
    ours = AutoAugment()(between, torch.Generator().manual_seed(3))
    assert torch.equal(ours, AutoAugment()(images, torch.Generator().manual_seed(3)))
