"""Linear classifiers on frozen features: a sweep over settings in one pass, or one with a paper's settings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter
from coarsecon.train.few_labels import rank_in_class
from coarsecon.train.heads import Scores, accuracies, cosine, labeled, last_and_best, top_scores, train_heads

HELD_OUT = 0.2
"""Fraction of each class held out to choose the settings of a sweep."""

SWEEP = [(lr, decay) for lr in (1.0, 5.0, 25.0, 100.0, 400.0) for decay in (0.0, 1e-5, 1e-4)]
"""(learning rate, weight decay) of each head of a sweep."""

SWEEP_EPOCHS = 20


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
    grid: Sequence[tuple[float, float]] = SWEEP,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train a linear classifier on train [N, D]; return top-1 and top-5 on test [M, D].

    Labels are integers, -1 where unknown (left out). "sweep" trains all of `grid` on centered features, chooses the
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
        probe = _sweep(train, train_labels, test, test_labels, epochs or SWEEP_EPOCHS, seed, grid, reporter)
    else:
        paper = PRESETS[preset]
        paper = replace(paper, lr=lr or paper.lr, epochs=epochs or paper.epochs)
        probe = _by_paper(train, train_labels, test, test_labels, paper, seed, reporter)
    return {**probe, **counts, "preset": preset, "seed": seed}


def held_out(labels: Tensor, seed: int) -> Tensor:
    """Return a mask [N] of about a fifth of each class: at least one image, and never a class's only one."""
    _, place, counts = labels.unique(return_inverse=True, return_counts=True)
    quota = (counts * HELD_OUT).round().clamp(min=1) * (counts > 1)
    return rank_in_class(labels, seed) < quota[place]


def _sweep(
    train: Tensor,
    labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    epochs: int,
    seed: int,
    grid: Sequence[tuple[float, float]],
    reporter: Reporter,
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
    lrs, decays = zip(*grid, strict=True)
    per_epoch = 2 * len(train) - int(aside.sum())
    with reporter.progress("linear classifiers", epochs * per_epoch) as shared["progress"]:
        heads = train_heads(train[~aside], labels[~aside], lrs=lrs, decays=decays, **shared)
        scores = accuracies(heads, train[aside], labels[aside])
        pick = scores.index(max(scores))
        lr, decay = grid[pick]
        head = train_heads(train, labels, lrs=[lr], decays=[decay], **shared)
    return {
        **top_scores(head, test, test_labels),
        "lr": lr,
        "weight_decay": decay,
        "held_out_top1": scores[pick],
        "epochs": epochs,
        "grid": [
            {"lr": lr, "weight_decay": decay, "held_out_top1": score}
            for (lr, decay), score in zip(grid, scores, strict=True)
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
