"""Sums over a long queue, a few rows of the batch at a time, so that no [N, K] matrix outlives its chunk."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ELEMENTS = 2**22
"""Entries of the largest similarity matrix held at a time (16 MB in float32): fewer rows make a slow matrix product."""


def row_chunks(rows: int, columns: int) -> Iterator[slice]:
    """Slices that cover `rows`, each of as many as go with `columns` columns into a chunk."""
    step = max(1, CHUNK_ELEMENTS // max(columns, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


class _LogSumExp(torch.autograd.Function):
    """log sum_j exp(q_i . u_j / t): the gradient to q is made in the forward pass, while the chunk is at hand."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, queue: Tensor, temperature: float) -> Tensor:
        total = q.new_empty(len(q))
        gradient = torch.empty_like(q) if ctx.needs_input_grad[0] else None
        for rows in row_chunks(len(q), len(queue)):
            logits = (q[rows] / temperature) @ queue.T
            total[rows] = logits.logsumexp(1)
            if gradient is not None:
                softmax = logits.sub_(total[rows, None]).exp_()
                gradient[rows] = softmax @ queue / temperature
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return grad_total[:, None] * gradient, None, None


def queue_logsumexp(q: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """log sum_j exp(q_i . u_j / temperature) [N] for q [N, D] and a constant queue [K, D]; -inf for an empty one."""
    if len(queue) == 0:
        return q.new_full((len(q),), float("-inf"))
    total: Tensor = _LogSumExp.apply(q, queue.detach(), temperature)
    return total


@torch.no_grad()
def weighted_queue(weigh: Callable[[slice], Tensor], n: int, queue: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's weighted sum of queue entries [N, D] and its sum of weights [N].

    `weigh(rows)` gives the weights of the queue [len(rows), K] of a slice of the n rows.
    """
    sums, masses = queue.new_empty(n, queue.shape[1]), queue.new_empty(n)
    for rows in row_chunks(n, len(queue)):
        weights = weigh(rows)
        sums[rows], masses[rows] = weights @ queue, weights.sum(1)
    return sums, masses
