"""Linear classifiers trained on a few random labels per class."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.metrics.interval import mean_and_interval


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
    return ((rank_in_class(labels, seed) < shots) & (labels >= 0)).nonzero().flatten()


def rank_in_class(labels: Tensor, seed: int) -> Tensor:
    """Return the position [N] of each image in a random order of its class."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).to(labels.device)
    order = order[labels[order].argsort(stable=True)]
    _, counts = labels.unique(return_counts=True)
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    ranks = torch.empty_like(labels)
    ranks[order] = torch.arange(len(labels), device=labels.device) - starts
    return ranks
