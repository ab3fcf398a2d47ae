"""Coverage of the 95% interval of a cross-validation: the fraction of draws with the accuracy on new images in it.

    python benchmarks/folds.py --draws 300

Random classes around random centers, classified by their nearest neighbor; the accuracy on new images is measured
on ten times as many. `groups` are sets of similar images (one object), which stay in one fold. `folds` is Student's
interval over the folds, `queries` Wilson's over all images, and `both` the wider one, which `knn` and `linear` report.
"""

import argparse

import numpy as np
import torch
from numpy.random import Generator, default_rng
from torch import Tensor

from coarsecon.data.prepare.split import assign_folds
from coarsecon.metrics.folds import fold_mean
from coarsecon.metrics.interval import mean_and_interval, wilson
from coarsecon.metrics.knn import knn_predict

FOLDS, DIM, CLASSES = 5, 10, 5


def draw(
    images: int, group: int, noise: float, centers: np.ndarray, rng: Generator
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Draw features [N, D], labels [N] and groups [N] of `images` per class."""
    labels = np.repeat(np.arange(CLASSES), images)
    groups = np.arange(len(labels)) // group
    shared = rng.normal(size=(groups.max() + 1, DIM)) * (0.9 if group > 1 else 0)
    own = rng.normal(size=(len(labels), DIM)) * (0.45 if group > 1 else 1)
    features = centers[labels] + noise * (shared[groups] + own)
    return torch.from_numpy(features), torch.from_numpy(labels), groups


def correct(bank: Tensor, bank_labels: Tensor, queries: Tensor, labels: Tensor) -> float:
    """Return the accuracy of the nearest neighbor."""
    return float((knn_predict(bank, bank_labels, queries, k=1) == labels).double().mean())


def main() -> None:
    """Count and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=300)
    draws = parser.parse_args().draws
    print(
        "| images per class | group size | noise | accuracy | folds | queries | both |\n|---|---|---|---|---|---|---|"
    )
    for images, group, noise in ((8, 1, 1.0), (40, 1, 1.0), (40, 1, 0.4), (40, 8, 1.0), (16, 4, 1.0)):
        rng = default_rng(0)
        inside, found = np.zeros(3), []
        for seed in range(draws):
            centers = rng.normal(size=(CLASSES, DIM))
            features, labels, groups = draw(images, group, noise, centers, rng)
            new, new_labels, _ = draw(10 * images, group, noise, centers, rng)
            folds = torch.from_numpy(assign_folds(labels, FOLDS, groups=[groups], seed=seed))
            by_fold = [
                correct(features[folds != f], labels[folds != f], features[folds == f], labels[folds == f])
                for f in range(FOLDS)
            ]
            truth = correct(features, labels, new, new_labels)
            mean, student = mean_and_interval(by_fold)
            low, high = wilson(mean, len(labels))
            halves = (student, max(mean - low, high - mean), fold_mean(by_fold, len(labels))[1])
            inside += [abs(truth - mean) <= half for half in halves]
            found.append(mean)
        shown = " | ".join(f"{100 * share:.0f}%" for share in inside / draws)
        print(f"| {images} | {group} | {noise:g} | {100 * np.mean(found):.0f} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
