"""SimCLR with hard negatives: against plain loops, and in its limits."""

import math

import naive
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.losses import supcon_loss
from coarsecon.losses.masked_simclr import masked_simclr_loss


@pytest.fixture
def projections() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(5, 8), (5, 8), (5, 3, 8)]
    return [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]


@pytest.mark.parametrize(("t", "alpha"), [(0.2, 1.0), (0.5, 2.0)])
def test_gradients_reach_both_views_and_the_hard_negatives_as_in_plain_loops(projections, t, alpha):
    ours = masked_simclr_loss(*projections, t=t, alpha=alpha)
    theirs = naive.masked_simclr_loss(*projections, t=t, alpha=alpha)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=0)
    for one, other in zip(
        torch.autograd.grad(ours, projections), torch.autograd.grad(theirs, projections), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)
        assert one.abs().max() > 0


def test_with_hard_negatives_of_no_weight_it_is_simclr(projections):
    """A term exp(0) is left of each, which for two copies of an anchor's image in opposite directions is exact."""
    q, k, hard = projections
    plain = supcon_loss(F.normalize(torch.stack([q, k], 1), dim=2), temperature=0.1, base_temperature=0.1)
    with_zero = masked_simclr_loss(q, k, torch.zeros_like(hard[:, :1]), t=0.1)
    views = F.normalize(torch.cat([q, k]), dim=1)
    others = (views @ views.T / 0.1).fill_diagonal_(-math.inf).exp().sum(1)
    torch.testing.assert_close(with_zero, plain + ((others + 1) / others).log().mean())


def test_each_image_is_pushed_by_its_own_hard_negatives_alone(projections):
    q, k, hard = projections
    loss = masked_simclr_loss(q, k, hard, t=0.2)
    moved = hard.detach().clone()
    moved[2] = q[2].detach()  # the hardest there is
    harder = masked_simclr_loss(q, k, moved, t=0.2)
    assert harder > loss
    swapped = hard[[1, 0, 2, 3, 4]]
    assert not torch.isclose(masked_simclr_loss(q, k, swapped, t=0.2), loss, rtol=1e-6)
