"""Split batch norm: each group by its own statistics, in every backbone, with the plain network's weights."""

import copy

import pytest
import torch
from torch import nn

from coarsecon.config import BackboneSettings
from coarsecon.errors import InputError
from coarsecon.nn.backbone import create_backbone
from coarsecon.nn.batch_norm import split_batch_norm


def pair(splits: int) -> tuple[nn.Module, nn.Module]:
    """A plain batch norm and its split copy."""
    plain = nn.Sequential(nn.BatchNorm2d(3))
    nn.init.uniform_(plain[0].weight, 0.5, 2)
    nn.init.uniform_(plain[0].bias)
    split = copy.deepcopy(plain)
    split_batch_norm(split, splits)
    return plain, split


@pytest.mark.parametrize("n", [8, 10])
def test_values_gradients_and_statistics_are_those_of_the_groups_alone(n):
    plain, split = pair(4)
    x = torch.randn(n, 3, 5, 5, requires_grad=True)
    alone = [copy.deepcopy(plain) for _ in range(4)]
    expected = torch.cat([norm(group) for norm, group in zip(alone, x.tensor_split(4), strict=True)])
    upstream = torch.randn_like(x)
    (wanted,) = torch.autograd.grad(expected, x, upstream)
    (got,) = torch.autograd.grad(split(x), x, upstream)
    torch.testing.assert_close(split(x), expected)
    torch.testing.assert_close(got, wanted)
    plain, split = pair(4)
    split(x)
    for name in ("running_mean", "running_var"):
        mean = torch.stack([getattr(norm[0], name) for norm in alone]).mean(0)
        torch.testing.assert_close(getattr(split[0], name), mean)
    assert split[0].num_batches_tracked == 1


def test_only_the_company_within_a_group_matters():
    _, split = pair(2)
    x = torch.randn(8, 3, 4, 4)
    within = torch.tensor([3, 1, 0, 2, 4, 5, 7, 6])
    across = torch.tensor([4, 1, 2, 3, 0, 5, 6, 7])
    torch.testing.assert_close(split(x[within]), split(x)[within])
    assert not torch.allclose(split(x[across]), split(x)[across])


def test_shuffling_the_batch_of_a_plain_norm_changes_nothing():
    plain, _ = pair(1)
    x = torch.randn(8, 3, 4, 4)
    order = torch.randperm(8)
    torch.testing.assert_close(plain(x[order]), plain(x)[order])


@pytest.mark.parametrize("name", ["resnet18", "resnet12", "efficientnet_b0"])
def test_every_backbone_splits_with_the_plain_networks_weights(name):
    args = {"channels": [16, 16, 16, 16]} if name == "resnet18" else {}
    plain = create_backbone(BackboneSettings(name=name, args=args), 32)
    split = create_backbone(BackboneSettings(name=name, args=args, batch_norm_splits=2), 32)
    split.load_state_dict(plain.state_dict())
    halves = copy.deepcopy(plain)
    x = torch.randn(4, 3, 32, 32)
    for model in (plain, split):
        model.eval()
    torch.testing.assert_close(split(x), plain(x))
    for model in (halves, split):
        model.train()
        torch.manual_seed(0)
    torch.testing.assert_close(split(x), torch.cat([halves(x[:2]), halves(x[2:])]), rtol=1e-4, atol=1e-4)


def test_split_norms_run_under_autocast_in_channels_last():
    model = create_backbone(BackboneSettings(name="resnet18", batch_norm_splits=2), 32)
    x = torch.randn(4, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(x).float().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_a_network_without_batch_norm_is_told():
    with pytest.raises(InputError, match=r"backbone\.batch_norm_splits: ConvNeXt has no batch norm"):
        create_backbone(BackboneSettings(name="convnext_atto", batch_norm_splits=2), 32)
