"""Linear classifiers on features, trained many at a time, and their accuracies."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.runtime.progress import Progress

MOMENTUM = 0.9

MAX_LOGITS = 2**22
"""Entries of the logits [heads, images, classes] in memory at once (16 MiB)."""

Scores = dict[str, float]
"""Accuracies by name: "top1" and "top5"."""


def cosine(progress: float) -> float:
    """Fall from 1 to 0 over the training."""
    return 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def train_heads(
    features: Tensor,
    labels: Tensor,
    *,
    lrs: Sequence[float],
    decays: Sequence[float],
    classes: int,
    epochs: int,
    batch_size: int,
    rate: Callable[[float], float],
    nesterov: bool = False,
    by_epoch: bool = False,
    seed: int = 0,
    after_epoch: Callable[[Tensor], None] | None = None,
    progress: Progress = Progress(),
) -> Tensor:
    """Train H linear classifiers on the same batches: cross-entropy by SGD with momentum 0.9.

    The heads start at zero, so `seed` decides only the order of the images.

    Args:
        features: Features [N, D], float32.
        labels: Labels [N], int64 below `classes`.
        lrs: Learning rate of each head [H].
        decays: Weight decay of each head [H], applied to biases too.
        rate: Maps the fraction of the training done to a multiple of the learning rates.
        by_epoch: Whether that fraction is counted in epochs, not in steps.
        after_epoch: Called with the weights after each epoch.
        progress: Advanced by the images of all epochs.

    Returns:
        Weights [H, D + 1, C]; the last row is the bias.
    """
    features = _with_ones(features)
    weights = features.new_zeros(len(lrs), features.shape[1], classes)
    velocity = torch.zeros_like(weights)
    lr, decay = (torch.tensor(values, device=features.device)[:, None, None] for values in (lrs, decays))
    generator = torch.Generator().manual_seed(seed)
    steps = math.ceil(len(features) / batch_size)
    for epoch in range(epochs):
        order = torch.randperm(len(features), generator=generator).to(features.device)
        for step, batch in enumerate(order.split(batch_size)):
            inputs, truth = features[batch], labels[batch]
            error = (inputs @ weights).softmax(2)
            error[:, torch.arange(len(batch), device=batch.device), truth] -= 1
            gradient = (inputs.T @ error).div_(len(batch)).addcmul_(decay, weights)
            velocity.mul_(MOMENTUM).add_(gradient)
            done = epoch / epochs if by_epoch else (epoch * steps + step) / (epochs * steps)
            update = gradient.add_(velocity, alpha=MOMENTUM) if nesterov else velocity
            weights.addcmul_(lr, update, value=-rate(done))
            progress.advance(len(batch))
        if after_epoch:
            after_epoch(weights)
    return weights


@torch.no_grad()
def accuracies(
    weights: Tensor, features: Tensor, labels: Tensor, k: int = 1, max_logits: int = MAX_LOGITS
) -> list[float]:
    """Compute the top-k accuracy of each head, weights [H, D + 1, C], on features [N, D] with labels [N]."""
    hits = torch.zeros(len(weights), device=features.device, dtype=torch.float64)
    rows = max(1, max_logits // (weights.shape[0] * weights.shape[2]))
    for chunk, truth in zip(features.split(rows), labels.split(rows), strict=True):
        best = (_with_ones(chunk) @ weights).topk(min(k, weights.shape[2]), dim=2).indices
        hits += (best == truth[:, None]).any(2).sum(1)
    return (hits / len(features)).tolist()


def top_scores(head: Tensor, features: Tensor, labels: Tensor) -> Scores:
    """Compute top-1 and top-5 of one head, weights [1, D + 1, C]."""
    return {f"top{k}": accuracies(head, features, labels, k)[0] for k in (1, 5)}


def last_and_best(scores: Sequence[Scores]) -> dict[str, Any]:
    """Return the scores of the last epoch and, under "best", those of the epoch with the highest top-1."""
    best = max(range(len(scores)), key=lambda epoch: scores[epoch]["top1"])
    return {**scores[-1], "best": {**scores[best], "epoch": best + 1}}


def labeled(labels: Tensor, what: str) -> Tensor:
    """Return the indices of the known labels in [N] (-1: unknown).

    Args:
        what: Noun phrase of a labeled image, for the message.

    Raises:
        InputError: No label is known.
    """
    known = (labels >= 0).nonzero().flatten()
    if not len(known):
        raise InputError("a linear classifier", f"needs labels, and no {what} has one", "label some")
    return known


def _with_ones(features: Tensor) -> Tensor:
    return torch.cat([features, features.new_ones(len(features), 1)], 1)
