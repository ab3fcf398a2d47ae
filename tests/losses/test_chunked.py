"""Sums over the queue in chunks: exact gradients, and no trace of where the chunks end."""

from functools import partial

import pytest
import torch
from loss_problems import LOSSES, random_problem

from coarsecon import losses
from coarsecon.losses import angular, momentum_contrast
from coarsecon.losses.chunked import queue_logsumexp, row_chunks, weighted_queue

CHUNKS = pytest.mark.parametrize("elements", [1, 50, 2**21], ids=["one row", "some rows", "all rows"])


@pytest.fixture
def x():
    return random_problem(n=7)


@pytest.fixture
def use_chunks(monkeypatch):
    """Let every loss sum over the queue in chunks of that size."""

    def use(elements: int) -> None:
        logsumexp = partial(queue_logsumexp, chunk_elements=elements)
        monkeypatch.setattr(angular, "queue_logsumexp", logsumexp)
        monkeypatch.setattr(momentum_contrast, "queue_logsumexp", logsumexp)
        monkeypatch.setattr(momentum_contrast, "weighted_queue", partial(weighted_queue, chunk_elements=elements))

    return use


@CHUNKS
@pytest.mark.parametrize("size", [0, 1, 20])
def test_logsumexp_is_torchs_and_its_gradient_the_numerical_one(x, elements, size):
    queue = x.queue[:size]
    logsumexp = partial(queue_logsumexp, chunk_elements=elements)
    torch.testing.assert_close(logsumexp(x.q, queue, 0.3), (x.q @ queue.T / 0.3).logsumexp(1))
    if size:
        assert torch.autograd.gradcheck(lambda q: logsumexp(q, queue, 0.3), x.learned().q)
    assert torch.autograd.gradcheck(lambda q: logsumexp(q, queue, 0.3).exp().sum() + q.sum(), x.learned().q)


@CHUNKS
@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_of_every_loss_is_the_numerical_one(x, elements, name, use_chunks):
    use_chunks(elements)
    assert torch.autograd.gradcheck(lambda q: LOSSES[name](losses, x.changed(q=q)), x.learned().q, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("elements", [1, 19, 20, 21, 50, 139])
@pytest.mark.parametrize("name", LOSSES)
def test_where_chunks_end_does_not_matter(x, elements, name, use_chunks):
    expected = LOSSES[name](losses, x)
    use_chunks(elements)
    torch.testing.assert_close(LOSSES[name](losses, x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("elements", [1, 6, 7, 100])
@pytest.mark.parametrize(("rows", "columns"), [(0, 3), (1, 1), (7, 3), (8, 3), (5, 0)])
def test_chunks_cover_every_row_once_in_order(rows, columns, elements):
    chunks = list(row_chunks(rows, columns, elements))
    assert [row for chunk in chunks for row in range(rows)[chunk]] == list(range(rows))
    assert all((c.stop - c.start) * columns <= max(elements, columns) for c in chunks)


@CHUNKS
def test_a_weighted_queue_is_one_matrix_product(x, elements):
    weights = (x.k @ x.queue.T).exp()
    sums, masses = weighted_queue(lambda rows: weights[rows], len(weights), x.queue, chunk_elements=elements)
    torch.testing.assert_close(sums, weights @ x.queue)
    torch.testing.assert_close(masses, weights.sum(1))


def test_large_logits_do_not_overflow(x):
    q = (1e4 * x.q).float().requires_grad_()
    total = queue_logsumexp(q, x.queue.float(), 0.01)
    total.sum().backward()
    nearest = (q.detach() @ x.queue.float().T).argmax(1)
    torch.testing.assert_close(q.grad, x.queue.float()[nearest] / 0.01)
    assert total.isfinite().all()


def test_the_queue_is_a_constant(x):
    x.queue.requires_grad_()
    queue_logsumexp(x.learned().q, x.queue, 0.1).sum().backward()
    assert x.queue.grad is None
    assert not queue_logsumexp(x.q, x.queue, 0.1).requires_grad
