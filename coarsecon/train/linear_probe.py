"""Linear classifiers on frozen features: many at once to pick the settings, or one by a paper's settings."""

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
"""The share of each class that a sweep picks on."""

SWEEP = [(lr, decay) for lr in (1.0, 5.0, 25.0, 100.0, 400.0) for decay in (0.0, 1e-5, 1e-4)]
"""(learning rate, weight decay) of the heads of a sweep."""

SWEEP_EPOCHS = 20
LOGITS_AT_ONCE = 2**22
"""Entries of the logits [heads, images, classes] that are held at one time (16 MiB)."""

Scores = dict[str, float]
"""Accuracies by name: "top1" and "top5"."""


@dataclass(frozen=True)
class Preset:
    """A paper's settings; the rate is multiplied by `factor` after each share of the epochs in `steps`.

    `scale` is the share of the image's area that the paper's random crop takes.
    """

    lr: float
    factor: float
    steps: tuple[float, ...]
    batch_size: int
    nesterov: bool = False
    scale: tuple[float, float] = (0.08, 1.0)
    epochs: int = 100

    def rate(self, progress: float) -> float:
        """The learning rate's multiple when a share `progress` of the epochs is done."""
        return self.factor ** sum(progress >= step for step in self.steps)


PRESETS = {
    # Khosla et al., 2020; lr 1 for SimCLR and cross-entropy
    "supcon": Preset(5, 0.2, (0.6, 0.75, 0.9), 512, scale=(0.2, 1.0)),
    "ascl": Preset(10, 0.1, (0.6, 0.8), 256, nesterov=True),  # Feng & Patras, 2022
    "moco": Preset(30, 0.1, (0.6, 0.8), 256),  # He et al., 2020; Chin et al., 2024
}


def cosine(progress: float) -> float:
    """From 1 to 0 over the training."""
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
    """H linear classifiers, softmax and cross-entropy by SGD with momentum 0.9, all on the same batches.

    features [N, D] float32; labels [N] int64 below `classes`; lrs [H] and decays [H] (weight decay, of the bias
    too). `rate` maps the share of the training done, counted in steps or in epochs (`by_epoch`), to a multiple
    of the learning rates. The heads start at zero, so `seed` decides the order of the images alone.

    Returns weights [H, D + 1, C] whose last row is the bias. `after_epoch` sees them as they are then;
    `progress` counts the images of all epochs.
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
def accuracies(weights: Tensor, features: Tensor, labels: Tensor, k: int = 1) -> list[float]:
    """Top-k accuracy of each head, weights [H, D + 1, C], on features [N, D] with labels [N]."""
    hits = torch.zeros(len(weights), device=features.device, dtype=torch.float64)
    rows = max(1, LOGITS_AT_ONCE // (weights.shape[0] * weights.shape[2]))
    for chunk, truth in zip(features.split(rows), labels.split(rows), strict=True):
        best = (_with_ones(chunk) @ weights).topk(min(k, weights.shape[2]), dim=2).indices
        hits += (best == truth[:, None]).any(2).sum(1)
    return (hits / len(features)).tolist()


def top_scores(head: Tensor, features: Tensor, labels: Tensor) -> Scores:
    """Top-1 and top-5 of one head, weights [1, D + 1, C]."""
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
    """Top-1 and top-5 of a linear classifier learnt on train [N, D] and measured on test [M, D].

    Labels are integers, -1 where unknown (left out). "sweep" trains all of `SWEEP` on centred features,
    picks by a held-out part of train, and learns the pick anew on all of train: the test images decide nothing.
    A name of `PRESETS` trains by that paper's settings (`lr` in place of its own), but on fixed features; it
    also tells the "best" epoch, which is picked on the test images as the papers do.

    "queries", "classes" and "train_images" count what is behind the numbers. Raises InputError when no label is
    known, or a sweep has no class with two training images.
    """
    known, measured = labelled(train_labels, "training image"), labelled(test_labels, "image to measure on")
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
    """`probe` from `shots` labels of each class, drawn anew `repeats` times: means, and 95% t-intervals.

    `probe` is given labels [N], which are -1 where not drawn, and the number of the draw; it returns what
    `linear_probe` does. `names` of the classes stand in messages. Raises InputError as `draw_shots` does.
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
    """Places [C * shots] of `shots` images of every class in labels [N] (-1 is no class), in increasing order.

    Raises:
        InputError: a class has fewer images.
    """
    classes, counts = labels[labels >= 0].unique(return_counts=True)
    if len(counts) and counts.min() < shots:
        smallest, most = int(classes[counts.argmin()]), int(counts.min())
        raise InputError(
            f"class {names[smallest] if names else smallest} has {most} labelled training image{'s' * (most != 1)}: "
            f"ask for no more than that, not for {shots} of each class"
        )
    return ((_rank_in_class(labels, seed) < shots) & (labels >= 0)).nonzero().flatten()


def held_out(labels: Tensor, seed: int) -> Tensor:
    """A mask [N] of about a fifth of each class of labels [N]: at least one image, and never a class's only one."""
    _, place, counts = labels.unique(return_inverse=True, return_counts=True)
    share = (counts * HELD_OUT).round().clamp(min=1) * (counts > 1)
    return _rank_in_class(labels, seed) < share[place]


def _sweep(
    train: Tensor, labels: Tensor, test: Tensor, test_labels: Tensor, epochs: int, seed: int, reporter: Reporter
) -> dict[str, Any]:
    aside = held_out(labels, seed)
    if not aside.any():
        raise InputError("a sweep picks on a second image of a class, and no class has two: use a preset")
    # The same classifiers as without, but conditioned so that one range of learning rates serves all encoders.
    centre = train.mean(0)
    scale = (train - centre).square().sum(1).mean().sqrt().clamp(min=1e-12)
    train, test = (train - centre) / scale, (test - centre) / scale
    shared: dict[str, Any] = {"classes": int(labels.max()) + 1, "epochs": epochs, "rate": cosine, "seed": seed}
    shared["batch_size"] = min(512, max(16, len(train) // 8))
    lrs, decays = zip(*SWEEP, strict=True)
    seen = 2 * len(train) - int(aside.sum())
    with reporter.progress("linear classifiers", epochs * seen) as shared["progress"]:
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
    """The scores of the last epoch and, under "best", those of the epoch with the highest top-1."""
    best = max(range(len(scores)), key=lambda epoch: scores[epoch]["top1"])
    return {**scores[-1], "best": {**scores[best], "epoch": best + 1}}


def labelled(labels: Tensor, what: str) -> Tensor:
    """The places of the known labels among labels [N] (-1: unknown); raises InputError, which says `what`, for none."""
    known = (labels >= 0).nonzero().flatten()
    if not len(known):
        raise InputError(f"no {what} has a label, so a linear classifier cannot be made: label some")
    return known


def _rank_in_class(labels: Tensor, seed: int) -> Tensor:
    """The place [N] of each image in a random order of its class."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).to(labels.device)
    order = order[labels[order].argsort(stable=True)]
    _, counts = labels.unique(return_counts=True)
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    ranks = torch.empty_like(labels)
    ranks[order] = torch.arange(len(labels), device=labels.device) - starts
    return ranks


def _with_ones(features: Tensor) -> Tensor:
    return torch.cat([features, features.new_ones(len(features), 1)], 1)
