"""The momentum-contrast losses in their limits and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F
from loss_problems import random_problem

from coarsecon.losses import ascl_loss, coins_loss, grafit_loss, maskcon_loss, moco_loss
from coarsecon.losses.momentum_contrast import maskcon_weights


@pytest.fixture
def x():
    return random_problem()


def moco(x):
    return moco_loss(x.q, x.k, x.queue, t=0.1)


def maskcon(x, *, w, t=0.05):
    return maskcon_loss(x.q, x.k, x.labels, x.queue, x.queue_labels, w=w, t0=0.1, t=t)


def grafit(x, *, w):
    return grafit_loss(x.q, x.k, x.labels, x.queue, x.queue_labels, w=w, t0=0.1)


def coins(x, *, w):
    return coins_loss(x.q, x.k, x.class_logits, x.labels, x.queue, w=w, t0=0.1)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_identical_vectors_give_the_log_of_their_number(size):
    q = k = torch.ones(3, 4)
    queue = F.normalize(torch.ones(size, 4), dim=1)
    assert moco_loss(q, k, queue, t=0.1).item() == pytest.approx(math.log(1 + size), rel=1e-5, abs=1e-6)


def test_orthogonal_negatives_give_the_closed_form():
    q = k = torch.eye(5, dtype=torch.float64)[:1]
    queue = torch.eye(5, dtype=torch.float64)[1:]
    assert moco_loss(q, k, queue, t=0.5).item() == pytest.approx(math.log(1 + 4 * math.exp(-2)))


def test_every_further_queue_entry_raises_the_loss(x):
    values = [moco_loss(x.q, x.k, x.queue[:size], t=0.1) for size in range(len(x.queue) + 1)]
    assert values[0] == 0
    assert values == sorted(values)


def test_without_soft_target_every_method_is_moco(x):
    for loss in (maskcon, grafit, coins):
        torch.testing.assert_close(loss(x, w=0.0), moco(x))


@pytest.mark.parametrize("loss", [maskcon, grafit, coins])
def test_the_loss_is_linear_in_the_share_of_the_soft_target(x, loss):
    torch.testing.assert_close(loss(x, w=0.3), 0.3 * loss(x, w=1.0) + 0.7 * loss(x, w=0.0))


def test_maskcon_at_infinite_temperature_is_the_supervised_target(x):
    torch.testing.assert_close(maskcon(x, w=1.0, t=1e12), grafit(x, w=1.0))


def test_maskcon_at_temperature_zero_attracts_the_nearest_of_its_class_alone(x):
    one_class = x.changed(labels=0 * x.labels, queue_labels=0 * x.queue_labels)
    nearest = ascl_loss(x.q, x.k, x.queue, t1=0.1, t2=0.05, num_neighbors=1, kind="hard")
    torch.testing.assert_close(maskcon(one_class, w=1.0, t=1e-6), nearest)


def test_maskcon_weighs_the_nearest_of_its_class_like_the_own_key_and_others_less(x):
    weights = maskcon_weights(x.k, x.labels, x.queue, x.queue_labels, t=0.05)
    same = x.labels[:, None] == x.queue_labels
    assert (weights[~same] == 0).all()
    assert (weights.amax(1) == 1).all()
    nearest = (F.normalize(x.k, dim=1) @ x.queue.T).masked_fill(~same, -2).argmax(1)
    assert torch.equal(weights.argmax(1), nearest)


def test_how_entries_of_other_classes_are_labelled_does_not_matter(x):
    two = x.changed(labels=x.labels % 2)
    renamed = two.changed(queue_labels=torch.where(x.queue_labels == 2, -1, x.queue_labels))
    for loss in (maskcon, grafit):
        torch.testing.assert_close(loss(two, w=1.0), loss(renamed, w=1.0))


def test_a_class_absent_from_the_queue_falls_back_to_its_own_key(x):
    absent = x.changed(labels=torch.full_like(x.labels, 9))
    for loss in (maskcon, grafit):
        torch.testing.assert_close(loss(absent, w=1.0), moco(x))


def test_coins_is_cross_entropy_on_the_labels_at_its_other_end(x):
    torch.testing.assert_close(coins(x, w=1.0), F.cross_entropy(x.class_logits, x.labels))
    x.class_logits.requires_grad_()
    coins(x, w=0.3).backward()
    expected = (x.class_logits.softmax(1) - F.one_hot(x.labels, 3)).detach() * 0.3 / len(x.labels)
    torch.testing.assert_close(x.class_logits.grad, expected)


def test_hard_negatives_raise_the_loss_by_their_share_of_the_denominator(x):
    q = F.normalize(x.q, dim=1)
    logits = torch.cat([(q * F.normalize(x.k, dim=1)).sum(1, keepdim=True), q @ x.queue.T], 1) / 0.2
    expected = (torch.logaddexp(logits.logsumexp(1), torch.tensor(3 / 0.2)) - logits[:, 0]).mean()
    hard = x.q[:, None]  # similarity 1 to every query
    torch.testing.assert_close(moco_loss(x.q, x.k, x.queue, t=0.2, hard_negatives=hard, alpha=3.0), expected)


def test_no_hard_negatives_are_moco_and_heavier_ones_raise_the_loss(x):
    none = moco_loss(x.q, x.k, x.queue, t=0.1, hard_negatives=x.hard[:, :0])
    torch.testing.assert_close(none, moco(x))
    near = x.q[:, None] + 0.1 * x.hard
    values = [moco_loss(x.q, x.k, x.queue, t=0.1, hard_negatives=near, alpha=alpha) for alpha in (0.0, 0.5, 1, 2)]
    assert [none, *values] == sorted([none, *values])
