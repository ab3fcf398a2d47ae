"""The momentum-contrast losses: golden cases, a naive reference, limits and edge cases."""

import math

import pytest
import torch
import torch.nn.functional as F
from golden import golden_cases, golden_tensors
from torch import Tensor

from coarsecon.losses import coins_loss, grafit_loss, maskcon_loss, moco_loss


def maskcon_family(case: dict, tensors: dict[str, Tensor], class_logits: Tensor, q: Tensor) -> Tensor:
    k, labels, queue, queue_labels = (tensors[name] for name in ("k", "labels", "queue", "queue_labels"))
    if case["mode"] == "maskcon":
        return maskcon_loss(q, k, labels, queue, queue_labels, w=case["w"], t0=case["t0"], t=case["t"])
    if case["mode"] == "grafit":
        return grafit_loss(q, k, labels, queue, queue_labels, w=case["w"], t0=case["t0"])
    return coins_loss(q, k, class_logits, labels, queue, w=case["w"], t0=case["t0"])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
@pytest.mark.parametrize("case", golden_cases("maskcon"))
def test_maskcon_family_matches_golden_values_and_gradients(case, dtype, tolerance):
    tensors = {
        name: value.to(dtype) if value.is_floating_point() else value for name, value in golden_tensors(case).items()
    }
    q = tensors["q"].clone().requires_grad_()
    class_logits = tensors["class_logits"].clone().requires_grad_()
    loss = maskcon_family(case, tensors, class_logits, q)
    loss.backward()
    torch.testing.assert_close(loss, tensors["loss"], rtol=tolerance, atol=0)
    grad_q = torch.zeros_like(q) if q.grad is None else q.grad
    torch.testing.assert_close(
        grad_q, tensors["grad_q"], rtol=tolerance, atol=tolerance * tensors["grad_q"].abs().max().item()
    )
    if case["mode"] == "coins":
        torch.testing.assert_close(class_logits.grad, tensors["grad_class_logits"], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
@pytest.mark.parametrize("case", golden_cases("hardneg_moco"))
def test_moco_with_hard_negatives_matches_golden_values_and_gradients(case, dtype, tolerance):
    tensors = {name: value.to(dtype) for name, value in golden_tensors(case).items()}
    q = tensors["q"].clone().requires_grad_()
    loss = moco_loss(
        q, tensors["k"], tensors["queue"], t=case["t"], hard_negatives=tensors["negatives"], alpha=case["alpha"]
    )
    loss.backward()
    torch.testing.assert_close(loss, tensors["loss"], rtol=tolerance, atol=0)
    torch.testing.assert_close(
        q.grad, tensors["grad_q"], rtol=tolerance, atol=tolerance * tensors["grad_q"].abs().max().item()
    )


@pytest.fixture
def problem() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    return {
        "q": draw(6, 8), "k": draw(6, 8), "queue": F.normalize(draw(20, 8), dim=1),
        "labels": torch.tensor([0, 1, 2, 0, 1, 2]), "queue_labels": torch.arange(20) % 3,
    }  # fmt: skip


def naive_maskcon(q, k, labels, queue, queue_labels, *, w, t0, t):
    total = 0.0
    for i in range(len(q)):
        qi, ki = q[i] / q[i].norm(), k[i] / k[i].norm()
        logits = torch.stack([qi @ ki, *[qi @ u for u in queue]]) / t0
        same = [j for j in range(len(queue)) if queue_labels[j] == labels[i]]
        soft = torch.zeros(len(queue), dtype=q.dtype)
        if same:
            probabilities = torch.stack([ki @ queue[j] / t for j in same]).softmax(0)
            soft[same] = probabilities / probabilities.max()
        target = torch.cat([torch.ones(1, dtype=q.dtype), soft])
        alone = torch.zeros_like(target)
        alone[0] = 1
        target = w * target / target.sum() + (1 - w) * alone
        total = total - (target * logits.log_softmax(0)).sum()
    return total / len(q)


def test_maskcon_equals_a_naive_loop(problem):
    settings = {"w": 0.7, "t0": 0.1, "t": 0.05}
    torch.testing.assert_close(maskcon_loss(**problem, **settings), naive_maskcon(**problem, **settings))


def test_maskcon_without_soft_target_is_moco(problem):
    moco = moco_loss(problem["q"], problem["k"], problem["queue"], t=0.1)
    torch.testing.assert_close(maskcon_loss(**problem, w=0.0, t0=0.1, t=0.05), moco)


def test_maskcon_at_infinite_temperature_is_the_supervised_target(problem):
    torch.testing.assert_close(maskcon_loss(**problem, w=1.0, t0=0.1, t=1e12), grafit_loss(**problem, w=1.0, t0=0.1))


def test_a_class_absent_from_the_queue_falls_back_to_its_own_key(problem):
    problem["labels"] = torch.full((6,), 9)
    loss = maskcon_loss(**problem, w=1.0, t0=0.1, t=0.05)
    torch.testing.assert_close(loss, moco_loss(problem["q"], problem["k"], problem["queue"], t=0.1))


def test_grafit_is_the_mixture_of_the_two_losses(problem):
    moco = moco_loss(problem["q"], problem["k"], problem["queue"], t=0.1)
    supervised = grafit_loss(**problem, w=1.0, t0=0.1)
    torch.testing.assert_close(grafit_loss(**problem, w=0.3, t0=0.1), 0.3 * supervised + 0.7 * moco)


def test_hard_negatives_raise_the_loss_by_their_share_of_the_denominator(problem):
    q, k, queue = problem["q"], problem["k"], problem["queue"]
    hard = F.normalize(q, dim=1)[:, None]  # similarity 1 to every query
    logits = (
        torch.cat(
            [(F.normalize(q, dim=1) * F.normalize(k, dim=1)).sum(1, keepdim=True), F.normalize(q, dim=1) @ queue.T], 1
        )
        / 0.2
    )
    expected = (torch.logaddexp(logits.logsumexp(1), torch.tensor(3 / 0.2)) - logits[:, 0]).mean()
    torch.testing.assert_close(moco_loss(q, k, queue, t=0.2, hard_negatives=hard, alpha=3.0), expected)


def test_identical_logits_give_the_log_of_their_number():
    q = k = torch.ones(3, 4)
    queue = F.normalize(torch.ones(7, 4), dim=1)
    assert moco_loss(q, k, queue, t=0.1).item() == pytest.approx(math.log(8), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_raised_inside_and_under_autocast(problem, dtype):
    q, k = problem["q"].to(dtype), problem["k"].to(dtype)
    expected = moco_loss(q.float(), k.float(), problem["queue"].float(), t=0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = moco_loss(q, k, problem["queue"].float(), t=0.05)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)


def test_only_the_query_receives_a_gradient(problem):
    for name in ("q", "k", "queue"):
        problem[name] = problem[name].clone().requires_grad_()
    maskcon_loss(**problem, w=1.0, t0=0.1, t=0.05).backward()
    assert problem["q"].grad is not None
    assert problem["k"].grad is None
    assert problem["queue"].grad is None
