"""Frozen early layers: which parameters are trained, and batch norms that keep their statistics."""

import copy
import re

import pytest
import timm
import torch
from torch import nn

from coarsecon.errors import InputError
from coarsecon.nn import resnet12  # noqa: F401  registers it with timm
from coarsecon.nn.batch_norm import split_batch_norm
from coarsecon.nn.freezing import FixedStatistics, train_last_blocks

LAST_TWO = {
    "resnet18": r"layer4\.[01]\.",
    "tf_efficientnet_lite0": r"blocks\.5\.3\.|blocks\.6\.0\.|conv_head|bn2\.",
    "vit_tiny_patch16_224": r"blocks\.1[01]\.|norm\.",
    "convnext_atto": r"stages\.3\.|head\.",
    "swin_tiny_patch4_window7_224": r"layers\.3\.|norm\.",
    "resnet12": r"stages\.[23]\.",
}
"""Parameters of the last two blocks and what follows them."""


@pytest.mark.parametrize("name", LAST_TWO)
def test_the_last_blocks_and_what_follows_them_are_trained(name):
    model = timm.create_model(name, num_classes=0)
    train_last_blocks(model, 2)
    pattern = re.compile(LAST_TWO[name])
    for parameter_name, parameter in model.named_parameters():
        assert parameter.requires_grad == bool(pattern.match(parameter_name)), parameter_name


def test_batch_norms_of_frozen_blocks_keep_their_statistics_in_training():
    model = timm.create_model("resnet18", num_classes=0)
    train_last_blocks(model, 1)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.rpartition(".")[0] for name in changed} == {"layer4.1.bn1", "layer4.1.bn2"}
    assert not any(p.grad is not None for name, p in model.named_parameters() if not name.startswith("layer4.1"))


@pytest.mark.parametrize("splits", [1, 2])
def test_a_fixed_batch_norm_computes_what_it_computes_in_evaluation(splits):
    model = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    images = torch.randn(4, 3, 32, 32)
    if splits > 1:
        split_batch_norm(model, splits)
    expected = model.blocks[:3](model.bn1(model.conv_stem(images)))
    train_last_blocks(model, 1)
    copied = copy.deepcopy(model).train()  # as the momentum encoder is made
    assert torch.equal(copied.blocks[:3](copied.bn1(copied.conv_stem(images))), expected)
    assert isinstance(copied.bn1, FixedStatistics)
    assert copied.state_dict().keys() == timm.create_model("tf_efficientnet_lite0", num_classes=0).state_dict().keys()


def test_more_blocks_than_there_are_and_unknown_layers_are_refused():
    with pytest.raises(InputError, match=r"finetune\.blocks: 9 blocks, but ResNet has 8 after its first layer"):
        train_last_blocks(timm.create_model("resnet18", num_classes=0), 9)
    train_last_blocks(timm.create_model("resnet18", num_classes=0), 8)
    with pytest.raises(InputError, match="does not number the layers of Linear"):
        train_last_blocks(nn.Linear(3, 2), 1)
