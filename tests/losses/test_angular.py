"""ANCOR: what is compared with what, and what is seen from the class's direction itself."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from loss_problems import random_problem

from coarsecon.losses import ancor_loss, moco_loss
from coarsecon.losses.angular import angular
from coarsecon.losses.chunked import queue_logsumexp


@pytest.fixture
def x():
    return random_problem(classes=3, n=6)


def ancor(x, banks=None, **settings):
    banks = x.banks if banks is None else banks
    return ancor_loss(x.q, x.k, x.labels, x.class_weights, banks, **{"t": 0.2, **settings})


def test_one_bank_for_all_with_the_plain_metric_is_moco(x):
    moco = moco_loss(x.q, x.k, x.queue, t=0.2)
    torch.testing.assert_close(ancor(x, 5 * x.queue, kind="cst_all", metric="norm"), moco)


def test_all_banks_with_the_plain_metric_are_one_queue(x):
    everything = x.banks.flatten(0, 1)
    torch.testing.assert_close(
        ancor(x, kind="cst_all_by_class", metric="norm"), ancor(x, everything, kind="cst_all", metric="norm")
    )


@pytest.mark.parametrize("metric", ["angular", "norm"])
def test_with_one_class_its_bank_is_all_banks(x, metric):
    one = x.changed(labels=0 * x.labels, class_weights=x.class_weights[:1], banks=x.banks[:1])
    torch.testing.assert_close(ancor(one, metric=metric), ancor(one, metric=metric, kind="cst_all_by_class"))


@pytest.mark.parametrize("metric", ["angular", "norm"])
def test_negatives_come_from_the_own_class_alone_unless_all_are_asked_for(x, metric):
    x.labels.copy_(torch.tensor([0, 0, 1, 1, 0, 1]))
    changed = x.banks.clone()
    changed[2] = -changed[2] + 1
    torch.testing.assert_close(ancor(x, metric=metric), ancor(x, changed, metric=metric))
    settings = {"metric": metric, "kind": "cst_all_by_class"}
    assert not torch.isclose(ancor(x, **settings), ancor(x, changed, **settings), rtol=1e-6)


def test_a_class_without_direction_makes_the_angular_metric_plain(x):
    flat = x.changed(class_weights=0 * x.class_weights)
    for kind in ("cst_by_class", "cst_all_by_class"):
        torch.testing.assert_close(ancor(flat, kind=kind), ancor(x, kind=kind, metric="norm"))


def test_opposite_sides_of_the_class_direction_are_opposite():
    """Around W = e1, embeddings turned by +-theta in one plane are seen at +-90 degrees less theta / 2 of it."""
    theta = 0.4
    pair = torch.tensor([[math.cos(theta), math.sin(theta)], [math.cos(theta), -math.sin(theta)]], dtype=torch.float64)
    direction = torch.tensor([1.0, 0.0], dtype=torch.float64)
    seen = angular(3 * pair, direction)
    assert (seen[0] @ seen[1]).item() == pytest.approx(-math.cos(theta))
    torch.testing.assert_close(seen.norm(dim=1), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("dim", [2, 128, 2048])
def test_an_embedding_on_its_class_direction_has_no_angle_and_no_gradient(dtype, dim):
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(4, dim, generator=generator, dtype=dtype)
    labels = torch.arange(64) % 4
    lengths = torch.rand(64, 1, generator=generator, dtype=dtype) * 50 + 1e-3
    q = (lengths * weights[labels]).requires_grad_()
    k, banks = (
        torch.randn(64, dim, generator=generator, dtype=dtype),
        torch.randn(4, 9, dim, generator=generator).to(dtype),
    )
    loss = ancor_loss(q, k, labels, weights, banks, t=0.2)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(1 + 9), rel=1e-6)  # similarity 0 to its key and to all negatives
    assert (q.grad == 0).all()


@pytest.mark.parametrize("kind", ["cst_by_class", "cst_all_by_class"])
def test_a_bank_larger_than_a_chunk_gives_the_same(x, kind, monkeypatch):
    whole = ancor(x, kind=kind)
    monkeypatch.setattr("coarsecon.losses.angular.queue_logsumexp", partial(queue_logsumexp, chunk_elements=1))
    torch.testing.assert_close(ancor(x, kind=kind), whole)


def test_what_is_not_defined_is_refused(x):
    with pytest.raises(ValueError, match="metric='norm'"):
        ancor(x, x.queue, kind="cst_all")
    with pytest.raises(ValueError, match=r"cst_all needs banks \[K, D\], got 3 axes"):
        ancor(x, kind="cst_all", metric="norm")
    for kind in ("cst_by_class", "cst_all_by_class"):
        with pytest.raises(ValueError, match=rf"{kind} needs banks \[C, K, D\], got 2 axes"):
            ancor(x, x.queue, kind=kind)


def test_the_class_direction_of_the_label_is_what_the_angle_is_seen_from(x):
    directions = F.normalize(x.class_weights, dim=1)[x.labels]
    by_hand = F.normalize(F.normalize(x.q, dim=1) - directions, dim=1)
    torch.testing.assert_close(angular(x.q, directions), by_hand)
