"""The step of L_spread against its two losses."""

import pytest
import torch
from coarsecon_thanos.method import Spread
from torch import nn

from coarsecon.losses import class_conditional_infonce, supcon_loss
from coarsecon.losses.precision import l2_normalize
from coarsecon.methods import Setup


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_step_weighs_supcon_and_class_conditional_infonce(alpha):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16))
    setup = Setup(encoder, 16, num_classes=2, image_size=8, mean=(0.5,) * 3, std=(0.5,) * 3)
    method = Spread(Spread.Config(alpha=alpha, dim=4), setup)
    views, labels = {name: torch.randn(6, 3, 8, 8) for name in ("first", "second")}, torch.tensor([0, 0, 0, 1, 1, 0])
    features = torch.stack([l2_normalize(method.projector(encoder(view))) for view in views.values()], dim=1)
    expected = (1 - alpha) * supcon_loss(features, labels, temperature=0.5, base_temperature=0.5)
    expected = expected + alpha * class_conditional_infonce(features, labels, temperature=0.5)
    torch.testing.assert_close(method.step(views, labels)["loss"], expected)
