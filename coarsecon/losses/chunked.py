"""Sums over a long queue, a few rows of the batch at a time, so that no [N, K] matrix is kept."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ELEMENTS = 2**22
"""Maximum size of a similarity matrix in elements (16 MB in float32); smaller ones make matrix products slow."""


def row_chunks(rows: int, columns: int, chunk_elements: int) -> Iterator[slice]:
    """Yield slices that cover `rows`, each with at most `chunk_elements` elements in a matrix of `columns` columns."""
    step = max(1, chunk_elements // max(columns, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


class _LogSumExp(torch.autograd.Function):
    """log sum_j exp(q_i . u_j / t); the forward pass also computes the gradient to q, chunk by chunk."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, queue: Tensor, temperature: float, chunk_elements: int) -> Tensor:
        total = q.new_empty(len(q))
        gradient = torch.empty_like(q) if ctx.needs_input_grad[0] else None
        for rows in row_chunks(len(q), len(queue), chunk_elements):
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
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return grad_total[:, None] * gradient, None, None, None


def queue_logsumexp(q: Tensor, queue: Tensor, temperature: float, *, chunk_elements: int = CHUNK_ELEMENTS) -> Tensor:
    """Compute log sum_j exp(q_i . u_j / temperature) [N] of q [N, D] and a constant queue [K, D]; -inf if empty."""
    if len(queue) == 0:
        return q.new_full((len(q),), float("-inf"))
    total: Tensor = _LogSumExp.apply(q, queue.detach(), temperature, chunk_elements)
    return total


@torch.no_grad()
def weighted_queue(
    weigh: Callable[[slice], Tensor], n: int, queue: Tensor, *, chunk_elements: int = CHUNK_ELEMENTS
) -> tuple[Tensor, Tensor]:
    """Compute the weighted sum of queue entries [N, D] and the sum of weights [N] of each row.

    `weigh(rows)` returns the weights [len(rows), K] of the queue for a slice of the n rows.
    """
    sums, masses = queue.new_empty(n, queue.shape[1]), queue.new_empty(n)
    for rows in row_chunks(n, len(queue), chunk_elements):
        weights = weigh(rows)
        sums[rows], masses[rows] = weights @ queue, weights.sum(1)
    return sums, masses
