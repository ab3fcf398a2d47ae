"""SupCon and SimCLR in closed forms, and what counts as a positive."""

import math

import pytest
import torch
import torch.nn.functional as F
from loss_problems import random_problem
from torch import Tensor

from coarsecon.losses import supcon_loss


@pytest.fixture
def features() -> Tensor:
    x = random_problem()
    return F.normalize(torch.stack([x.q, x.k, x.hard[:, 0]], 1), dim=2)


LABELS = torch.tensor([0, 0, 1, 1, 2, 3])


@pytest.mark.parametrize("mode", ["all", "one"])
def test_identical_views_give_the_log_of_the_number_of_others(mode):
    features = F.normalize(torch.ones(4, 2, 5, dtype=torch.float64), dim=2)
    loss = supcon_loss(features, torch.zeros(4), temperature=0.1, base_temperature=0.2, contrast_mode=mode)
    assert loss.item() == pytest.approx(0.1 / 0.2 * math.log(4 * 2 - 1))


def test_collapsed_orthogonal_classes_give_the_closed_form():
    """Each view has 1 positive at similarity 1 and 4 others at 0."""
    features = torch.eye(3, dtype=torch.float64)[:, None].expand(3, 2, 3)
    loss = supcon_loss(features, temperature=0.5, base_temperature=0.5)
    assert loss.item() == pytest.approx(math.log(1 + 4 * math.exp(-2)))


def test_labels_are_the_mask_of_their_equality(features):
    by_labels = supcon_loss(features, LABELS)
    for dtype in (torch.bool, torch.int64, torch.float32):
        mask = (LABELS[:, None] == LABELS).to(dtype)
        torch.testing.assert_close(supcon_loss(features, mask=mask), by_labels)


def test_distinct_labels_are_simclr(features):
    torch.testing.assert_close(supcon_loss(features, torch.arange(6)), supcon_loss(features))


def test_all_views_are_the_mean_over_each_view_as_the_first(features):
    each = [supcon_loss(features.roll(view, 1), LABELS, contrast_mode="one") for view in range(3)]
    torch.testing.assert_close(torch.stack(each).mean(), supcon_loss(features, LABELS))


def test_the_mask_row_is_the_anchor(features):
    mask = torch.zeros(6, 6)
    mask[0, 3] = 1
    s = features[:, 0] @ features[0, 0] / 0.07
    expected = (s[1:].logsumexp(0) - s[3]) / 6
    torch.testing.assert_close(supcon_loss(features[:, :1], mask=mask), expected)


def test_anchors_without_a_positive_add_nothing_but_are_counted(features):
    single, same = features[:, :1], LABELS[:, None] == LABELS
    each = torch.stack([supcon_loss(single, mask=same & (torch.arange(6) == i)[:, None]) for i in range(6)])
    assert (each > 0).tolist() == [True] * 4 + [False] * 2
    torch.testing.assert_close(each.sum(), supcon_loss(single, LABELS))


@pytest.mark.parametrize("mode", ["all", "one"])
@pytest.mark.parametrize("images", [1, 6])
def test_a_batch_without_any_positive_has_loss_and_gradient_zero(features, images, mode):
    single = features[:images, :1].clone().requires_grad_()
    loss = supcon_loss(single, torch.arange(images), contrast_mode=mode)
    loss.backward()
    assert loss == 0
    assert (single.grad == 0).all()


def test_the_base_temperature_only_scales(features):
    torch.testing.assert_close(
        supcon_loss(features, LABELS, base_temperature=0.14), supcon_loss(features, LABELS, base_temperature=0.07) / 2
    )


def test_ambiguous_or_misshapen_positives_are_refused(features):
    with pytest.raises(ValueError, match="not both"):
        supcon_loss(features, LABELS, mask=torch.eye(6))
    with pytest.raises(ValueError, match=r"labels \[6\] or a mask \[6, 6\]"):
        supcon_loss(features, LABELS[:5])
    with pytest.raises(ValueError, match=r"labels \[6\] or a mask \[6, 6\]"):
        supcon_loss(features, mask=torch.ones(6, 18))
