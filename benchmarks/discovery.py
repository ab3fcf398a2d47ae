"""Agreement of clusters inside coarse classes with the fine labels: every algorithm, known and estimated numbers.

    python benchmarks/discovery.py --run runs/frozen --splits train test --seeds 5

Prints a table: accuracy (Hungarian), NMI and ARI in percent over all images that have a fine label, the accuracy in the
coarse classes with several fine ones, the number of clusters, and processor seconds; each a mean over seeds.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from machine import describe_machine
from torch import Tensor

import coarsecon
from coarsecon import registry
from coarsecon.discovery.base import Clustering
from coarsecon.discovery.groups import Group, find_clusters, images_by_class, overall
from coarsecon.discovery.number import estimate_counts, known_counts, whiten_for_estimate
from coarsecon.metrics.agreement import agreement

COLUMNS = ("accuracy", "nmi", "ari", "several", "clusters", "seconds")


def load_splits(folder: Path, splits: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the features [N, D], coarse labels [N] and fine labels [N] of some splits of a run together."""
    run = coarsecon.load(folder)
    labels = run.labels(*splits)
    features = torch.cat([run.features(split) for split in splits])
    return features, torch.cat(labels["coarse"]), torch.cat(labels["fine"])


def cluster(features: Tensor, coarse: Tensor, fine: Tensor, model: str, k: str, seed: int) -> list[Group]:
    """Cluster as the command does; `k` is oracle, auto, total, or a number."""
    chosen = registry.load_class(registry.CLUSTERINGS, model, Clustering)
    members, evidence = images_by_class(coarse), {}
    if k == "oracle":
        counts = known_counts(members, fine)
    elif k.isdigit():
        counts = dict.fromkeys(members, int(k))
    else:
        total = sum(known_counts(members, fine).values()) if k == "total" else None
        classes = whiten_for_estimate(features, members)
        counts, evidence = estimate_counts(classes, numbers=range(1, 16), total=total, seed=seed)
    return find_clusters(features, coarse, chosen(chosen.Config()), counts, evidence=evidence, seed=seed)


def measure(features: Tensor, coarse: Tensor, fine: Tensor, model: str, k: str, seed: int) -> dict[str, float]:
    """Return the columns of one run."""
    start = time.process_time()
    groups = cluster(features, coarse, fine, model, k, seed)
    seconds = time.process_time() - start
    clusters = overall(groups, len(coarse))
    found: Any = agreement(clusters, fine)
    several = [group.images for group in groups if len(fine[group.images][fine[group.images] >= 0].unique()) > 1]
    inside = torch.cat(several)
    hard: Any = agreement(clusters[inside], fine[inside])
    values = {name: 100 * found[name] for name in ("accuracy", "nmi", "ari")}
    return values | {"several": 100 * hard["accuracy"], "clusters": found["clusters"], "seconds": seconds}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="Run folder with a dataset that has fine labels.")
    parser.add_argument("--splits", nargs="+", default=["train"], help="Splits to cluster together.")
    parser.add_argument("--models", nargs="+", default=["kmeans", "mixture", "agglomerative", "temi"])
    parser.add_argument("--k", nargs="+", default=["oracle", "total", "auto"], help="oracle, total, auto, or numbers.")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.run is None:
        print("discovery.py measures nothing without --run")
        return
    features, coarse, fine = load_splits(arguments.run, arguments.splits)
    print(f"{describe_machine()}\n\n| algorithm | number | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 2)}")
    for model in arguments.models:
        for k in arguments.k:
            runs = [measure(features, coarse, fine, model, k, seed) for seed in range(arguments.seeds)]
            cells = [f"{mean(each[name] for each in runs):.1f}" for name in COLUMNS]
            if len(runs) > 1:
                cells[0] += f" (sd {stdev(each['accuracy'] for each in runs):.1f})"
            print(f"| {model} | {k} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
