"""The loss equals its equation and keeps its gradient where InfoNCE's vanishes."""

import math

import torch
import torch.nn.functional as F
from coarsecon_dcl import dcl_loss

from coarsecon.losses import moco_loss


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def test_loss_equals_its_equation():
    q, k, queue = draw(5, 4), draw(5, 4) + 1, F.normalize(draw(7, 4), dim=1)
    total = 0.0
    for i in range(5):
        own, query = k[i] / k[i].norm(), q[i] / q[i].norm()
        negatives = sum(math.exp(float(query @ u) / 0.2) for u in queue)
        total += -float(query @ own) / 0.2 + math.log(negatives)
    torch.testing.assert_close(dcl_loss(q, k, queue, t=0.2), torch.tensor(total / 5, dtype=torch.float64))


def test_gradient_does_not_vanish_for_easy_positives():
    """InfoNCE's gradient vanishes as the positive dominates the denominator; the decoupled one does not."""
    k, queue = draw(3, 8), F.normalize(draw(4, 8), dim=1)
    norms = {}
    for loss in (dcl_loss, moco_loss):
        q = (k + 0.1 * draw(3, 8).flip(0)).requires_grad_()
        loss(q, k, queue, t=0.05).backward()
        norms[loss] = float(q.grad.norm())
    assert norms[moco_loss] < 0.01 * norms[dcl_loss]


def test_half_precision_input_runs_in_float32():
    q, k, queue = draw(4, 8), draw(4, 8) + 1, F.normalize(draw(6, 8), dim=1)
    loss = dcl_loss(q.bfloat16(), k.bfloat16(), queue.float(), t=0.05)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), dcl_loss(q, k, queue, t=0.05), rtol=0.05, atol=0.05)
