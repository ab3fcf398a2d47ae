"""Linear classifiers on frozen features: a sweep over settings in one pass, or one with a paper's settings."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.metrics.interval import mean_and_interval
from coarsecon.runtime.progress import Progress, Reporter

MOMENTUM = 0.9
HELD_OUT = 0.2
"""Fraction of each class held out to choose the settings of a sweep."""

SWEEP = [(lr, decay) for lr in (1.0, 5.0, 25.0, 100.0, 400.0) for decay in (0.0, 1e-5, 1e-4)]
"""(learning rate, weight decay) of each head of a sweep."""

SWEEP_EPOCHS = 20
MAX_LOGITS = 2**22
"""Entries of the logits [heads, images, classes] in memory at once (16 MiB)."""

Scores = dict[str, float]
"""Accuracies by name: "top1" and "top5"."""


@dataclass(frozen=True)
class Preset:
    """A paper's settings.

    Args:
        factor: Multiplies the learning rate at each fraction of the epochs in `steps`.
        scale: Fraction of the image's area in the paper's random crop.
    """

    lr: float
    factor: float
    steps: tuple[float, ...]
    batch_size: int
    nesterov: bool = False
    scale: tuple[float, float] = (0.08, 1.0)
    epochs: int = 100

    def rate(self, progress: float) -> float:
        """Return the multiple of the learning rate when a fraction `progress` of the epochs is done."""
        return self.factor ** sum(progress >= step for step in self.steps)


PRESETS = {
    # Khosla et al., 2020; lr 1 for SimCLR and cross-entropy
    "supcon": Preset(5, 0.2, (0.6, 0.75, 0.9), 512, scale=(0.2, 1.0)),
    "ascl": Preset(10, 0.1, (0.6, 0.8), 256, nesterov=True),  # Feng & Patras, 2022
    "moco": Preset(30, 0.1, (0.6, 0.8), 256),  # He et al., 2020; Chin et al., 2024
}


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


def linear_probe(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    *,
    preset: str = "sweep",
    lr: float | None = None,
    epochs: int | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train a linear classifier on train [N, D]; return top-1 and top-5 on test [M, D].

    Labels are integers, -1 where unknown (left out). "sweep" trains all of `SWEEP` on centered features, chooses the
    settings on a held-out part of train, and trains again on all of train, so that the test images decide nothing. A
    name of `PRESETS` trains with that paper's settings (`lr` and `epochs` override), but on fixed features; its result
    includes the "best" epoch, chosen on the test images as the papers do.

    Raises:
        InputError: No label is known, or no class has two training images for a sweep.
    """
    known, measured = labeled(train_labels, "training image"), labeled(test_labels, "test image")
    train, train_labels = train[known].float(), train_labels[known]
    test, test_labels = test[measured].float(), test_labels[measured]
    counts = {"queries": len(test), "classes": len(test_labels.unique()), "train_images": len(train)}
    reporter = reporter or Reporter()
    if preset == "sweep":
        probe = _sweep(train, train_labels, test, test_labels, epochs or SWEEP_EPOCHS, seed, reporter)
    else:
        paper = PRESETS[preset]
        paper = replace(paper, lr=lr or paper.lr, epochs=epochs or paper.epochs)
        probe = _by_paper(train, train_labels, test, test_labels, paper, seed, reporter)
    return {**probe, **counts, "preset": preset, "seed": seed}


def few_label_probe(
    probe: Callable[[Tensor, int], dict[str, Any]],
    labels: Tensor,
    *,
    shots: int,
    repeats: int,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Repeat `probe` with `shots` random labels per class; return means with 95% t-intervals.

    Args:
        probe: Takes labels [N], -1 where not drawn, and the seed of the draw; returns a result of `linear_probe`.
        names: Class names for messages.

    Raises:
        InputError: A class has fewer images.
    """
    runs = []
    for draw in range(seed, seed + repeats):
        drawn, few = draw_shots(labels, shots, draw, names), torch.full_like(labels, -1)
        few[drawn] = labels[drawn]
        runs.append(probe(few, draw))
    top1, ci95 = mean_and_interval([run["top1"] for run in runs])
    top5, top5_ci95 = mean_and_interval([run["top5"] for run in runs])
    counts = {name: runs[0][name] for name in ("queries", "classes", "train_images", "preset", "epochs")}
    scores = {"top1": top1, "ci95": ci95, "top5": top5, "top5_ci95": top5_ci95}
    return {**scores, **counts, "shots_per_class": shots, "repeats": repeats, "seed": seed, "draws": runs}


def draw_shots(labels: Tensor, shots: int, seed: int, names: Sequence[str] | None = None) -> Tensor:
    """Draw `shots` images of every class in labels [N] (-1: unknown); return their indices [C * shots], increasing.

    Raises:
        InputError: A class has fewer images.
    """
    classes, counts = labels[labels >= 0].unique(return_counts=True)
    if len(counts) and counts.min() < shots:
        smallest, most = int(classes[counts.argmin()]), int(counts.min())
        raise InputError(
            f"class {names[smallest] if names else smallest}",
            f"has {most} labeled training image{'s' * (most != 1)}, fewer than {shots} per class",
            f"use at most {most} per class",
        )
    return ((_rank_in_class(labels, seed) < shots) & (labels >= 0)).nonzero().flatten()


def held_out(labels: Tensor, seed: int) -> Tensor:
    """Return a mask [N] of about a fifth of each class: at least one image, and never a class's only one."""
    _, place, counts = labels.unique(return_inverse=True, return_counts=True)
    quota = (counts * HELD_OUT).round().clamp(min=1) * (counts > 1)
    return _rank_in_class(labels, seed) < quota[place]


def _sweep(
    train: Tensor, labels: Tensor, test: Tensor, test_labels: Tensor, epochs: int, seed: int, reporter: Reporter
) -> dict[str, Any]:
    aside = held_out(labels, seed)
    if not aside.any():
        raise InputError("the sweep", "needs a class with two training images, and no class has two", "use a preset")
    # The same classifiers as without, but conditioned so that one range of learning rates serves all encoders.
    center = train.mean(0)
    scale = (train - center).square().sum(1).mean().sqrt().clamp(min=1e-12)
    train, test = (train - center) / scale, (test - center) / scale
    shared: dict[str, Any] = {"classes": int(labels.max()) + 1, "epochs": epochs, "rate": cosine, "seed": seed}
    shared["batch_size"] = min(512, max(16, len(train) // 8))
    lrs, decays = zip(*SWEEP, strict=True)
    per_epoch = 2 * len(train) - int(aside.sum())
    with reporter.progress("linear classifiers", epochs * per_epoch) as shared["progress"]:
        heads = train_heads(train[~aside], labels[~aside], lrs=lrs, decays=decays, **shared)
        scores = accuracies(heads, train[aside], labels[aside])
        pick = scores.index(max(scores))
        lr, decay = SWEEP[pick]
        head = train_heads(train, labels, lrs=[lr], decays=[decay], **shared)
    return {
        **top_scores(head, test, test_labels),
        "lr": lr,
        "weight_decay": decay,
        "held_out_top1": scores[pick],
        "epochs": epochs,
        "grid": [
            {"lr": lr, "weight_decay": decay, "held_out_top1": score}
            for (lr, decay), score in zip(SWEEP, scores, strict=True)
        ],
    }


def _by_paper(
    train: Tensor,
    labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    preset: Preset,
    seed: int,
    reporter: Reporter,
) -> dict[str, Any]:
    scores: list[Scores] = []
    with reporter.progress("linear classifier", preset.epochs * len(train)) as progress:
        train_heads(
            train, labels, lrs=[preset.lr], decays=[0.0], classes=int(labels.max()) + 1, epochs=preset.epochs,
            batch_size=preset.batch_size, rate=preset.rate, nesterov=preset.nesterov, by_epoch=True, seed=seed,
            after_epoch=lambda head: scores.append(top_scores(head, test, test_labels)), progress=progress,
        )  # fmt: skip
    return {**last_and_best(scores), "lr": preset.lr, "epochs": preset.epochs}


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


def _rank_in_class(labels: Tensor, seed: int) -> Tensor:
    """Return the position [N] of each image in a random order of its class."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).to(labels.device)
    order = order[labels[order].argsort(stable=True)]
    _, counts = labels.unique(return_counts=True)
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    ranks = torch.empty_like(labels)
    ranks[order] = torch.arange(len(labels), device=labels.device) - starts
    return ranks


def _with_ones(features: Tensor) -> Tensor:
    return torch.cat([features, features.new_ones(len(features), 1)], 1)
