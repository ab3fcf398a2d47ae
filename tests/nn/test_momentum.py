"""The momentum twin follows its source's parameters and keeps its own batch-norm statistics."""

import torch
from torch import nn

from coarsecon.nn.momentum import MomentumEncoder


def test_update_moves_each_parameter_by_one_minus_momentum():
    source = nn.Linear(3, 2)
    twin = MomentumEncoder(source, momentum=0.9)
    before = [parameter.clone() for parameter in twin.parameters()]
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1.0)
    twin.update(source)
    for old, new, target in zip(before, twin.parameters(), source.parameters(), strict=True):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * target)


def test_batch_norm_statistics_come_from_the_twins_own_forward_passes():
    source = nn.BatchNorm1d(3)
    twin = MomentumEncoder(source, momentum=0.9)
    source(torch.randn(16, 3) + 100)
    twin.update(source)
    assert twin.copies[0].running_mean.abs().max() == 0
    twin(torch.full((16, 3), 5.0))
    assert twin.copies[0].running_mean.min() > 0.4


def test_no_gradient_reaches_the_twin():
    twin = MomentumEncoder(nn.Linear(3, 2), momentum=0.9)
    assert not twin(torch.randn(4, 3, requires_grad=True)).requires_grad
    assert not any(parameter.requires_grad for parameter in twin.parameters())


def test_copies_are_applied_one_after_the_other():
    first, second = nn.Linear(3, 4), nn.Linear(4, 2)
    inputs = torch.randn(5, 3)
    torch.testing.assert_close(MomentumEncoder(first, second, momentum=0.5)(inputs), second(first(inputs)).detach())
