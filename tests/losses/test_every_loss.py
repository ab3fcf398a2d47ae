"""What holds for every loss in every form: its equation, its symmetries, and finite numbers in every corner."""

import naive
import pytest
import torch
from hypothesis import given
from loss_problems import FEW, LOSSES, Problem, problems, random_problem
from torch import Tensor

from coarsecon import losses

LEARNS_KEYS = [loss for name, loss in LOSSES.items() if name.startswith(("supcon", "masked_simclr"))]
SUPCON = [loss for name, loss in LOSSES.items() if name.startswith("supcon")]
EVERY_LOSS = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def value_and_gradient(loss, x: Problem, module=losses, autocast: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
    x = x.learned()
    with torch.autocast("cpu", dtype=autocast, enabled=autocast is not None):
        value = loss(module, x)
    value.backward()
    assert x.q.grad is not None
    return value.detach(), x.q.grad


def assert_same(loss, x: Problem, other: Problem) -> None:
    torch.testing.assert_close(loss(losses, x), loss(losses, other), rtol=1e-9, atol=1e-12)


@EVERY_LOSS
@FEW
@given(x=problems())
def test_value_and_gradient_are_those_of_plain_loops(loss, x):
    (value, gradient), (expected, expected_gradient) = (
        value_and_gradient(loss, x, module) for module in (losses, naive)
    )
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-7, atol=1e-10)


@EVERY_LOSS
@FEW
@given(x=problems())
def test_the_order_of_the_batch_does_not_matter(loss, x):
    order = torch.randperm(len(x.q), generator=torch.Generator().manual_seed(0))
    per_sample = ("q", "k", "labels", "hard", "class_logits")
    reordered = {name: getattr(x, name)[order] for name in per_sample}
    assert_same(loss, x, x.changed(**reordered, mask=x.mask[order][:, order]))


@EVERY_LOSS
@FEW
@given(x=problems())
def test_the_names_of_the_classes_do_not_matter(loss, x):
    classes = len(x.class_weights)
    new = torch.randperm(classes, generator=torch.Generator().manual_seed(0))
    old = new.argsort()
    renamed = x.changed(
        labels=new[x.labels],
        queue_labels=torch.where(x.queue_labels < 0, -1, new[x.queue_labels]),
        class_logits=x.class_logits[:, old],
        class_weights=x.class_weights[old],
        banks=x.banks[old],
    )
    assert_same(loss, x, renamed)


@EVERY_LOSS
@FEW
@given(x=problems())
def test_the_order_of_the_queue_does_not_matter(loss, x):
    order = torch.randperm(len(x.queue), generator=torch.Generator().manual_seed(0))
    assert_same(loss, x, x.changed(queue=x.queue[order], queue_labels=x.queue_labels[order], banks=x.banks[:, order]))


@EVERY_LOSS
@FEW
@given(x=problems())
def test_the_lengths_of_raw_vectors_do_not_matter(loss, x):
    lengths = torch.linspace(0.1, 30, len(x.q), dtype=torch.float64)[:, None]
    scaled = x.changed(
        q=x.q * lengths, k=x.k / lengths, hard=7 * x.hard, class_weights=0.2 * x.class_weights, banks=3 * x.banks
    )
    assert_same(loss, x, scaled)
    gradient = value_and_gradient(loss, x)[1]
    torch.testing.assert_close((gradient * x.q).sum(1), torch.zeros(len(x.q), dtype=torch.float64))


@EVERY_LOSS
def test_keys_queues_and_class_directions_are_constants(loss):
    x = random_problem()
    constants = [x.queue, x.banks, x.class_weights]
    if loss not in LEARNS_KEYS:
        constants.append(x.k)
    for constant in constants:
        constant.requires_grad_()
    value_and_gradient(loss, x)
    assert all(constant.grad is None for constant in constants)


@EVERY_LOSS
def test_a_step_against_the_gradient_lowers_the_loss(loss):
    x = random_problem(1)
    value, gradient = value_and_gradient(loss, x)
    assert gradient.abs().max() > 0
    assert loss(losses, x.changed(q=x.q - 1e-4 * gradient)) < value


CORNERS = {
    "usual": lambda x: x,
    "no positive": lambda x: random_problem(3, n=3, dtype=x.q.dtype).changed(
        labels=torch.arange(3), queue_labels=torch.full_like(x.queue_labels, 7), mask=torch.zeros(3, 3)
    ),
    "one class": lambda x: x.changed(
        labels=0 * x.labels, queue_labels=0 * x.queue_labels, class_logits=x.class_logits[:, :1],
        class_weights=x.class_weights[:1], banks=x.banks[:1],
    ),
    "empty queue": lambda x: x.changed(queue=x.queue[:0], queue_labels=x.queue_labels[:0], banks=x.banks[:, :0]),
    "queue of one": lambda x: x.changed(queue=x.queue[:1], queue_labels=x.queue_labels[:1], banks=x.banks[:, :1]),
    "unfilled queue": lambda x: x.changed(queue_labels=torch.full_like(x.queue_labels, -1)),
    "one sample": lambda x: random_problem(3, n=1, dtype=x.q.dtype),
    "nothing but one sample": lambda x: random_problem(3, n=1, size=0, classes=1, dtype=x.q.dtype),
    "zero queries": lambda x: x.changed(q=0 * x.q),
    "zero keys": lambda x: x.changed(k=0 * x.k, queue=0 * x.queue, banks=0 * x.banks, hard=0 * x.hard),
    "all zero": lambda x: x.mapped(torch.zeros_like),
    "all the same": lambda x: x.mapped(torch.ones_like),
    "queries on their class direction": lambda x: x.changed(q=3 * x.class_weights[x.labels]),
    "keys on their class direction": lambda x: x.changed(
        k=x.class_weights[x.labels], banks=x.class_weights[:, None].expand_as(x.banks)
    ),
    "zero class weights": lambda x: x.changed(class_weights=0 * x.class_weights),
    "very long vectors": lambda x: x.changed(q=x.q * 1e4, k=x.k * 1e4, banks=x.banks * 1e4),
}  # fmt: skip


@EVERY_LOSS
@pytest.mark.parametrize("corner", CORNERS.values(), ids=CORNERS)
@pytest.mark.parametrize(
    ("dtype", "autocast"),
    [(torch.float32, None), (torch.float16, None), (torch.bfloat16, None), (torch.float32, torch.float16),
     (torch.bfloat16, torch.bfloat16)],
)  # fmt: skip
def test_value_and_gradient_are_finite_and_single_precision(loss, corner, dtype, autocast):
    value, gradient = value_and_gradient(loss, corner(random_problem(2, dtype=dtype)), autocast=autocast)
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert gradient.abs().max() < 1e3


@EVERY_LOSS
def test_half_precision_is_raised_before_anything_is_computed(loss):
    half = random_problem(2, dtype=torch.bfloat16)
    value, gradient = value_and_gradient(loss, half, autocast=torch.bfloat16)
    expected, expected_gradient = value_and_gradient(loss, half.mapped(Tensor.float))
    assert gradient.dtype == torch.bfloat16
    if loss not in SUPCON:  # whose features are themselves rounded
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
        torch.testing.assert_close(gradient, expected_gradient.bfloat16())
