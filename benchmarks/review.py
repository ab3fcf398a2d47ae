"""Simulate a reviewer: fine accuracy after N answers about clusters, in the order of the tool, or N labels of images.

    python benchmarks/review.py --run runs/frozen --splits train test --plot review.png

An answer is about the most typical images of a cluster: it is named by their most frequent fine label, or rejected if
fewer than `--agree` of them have it. Images outside named clusters get the prediction of the nearest mean in their
coarse class, and so do all images in the comparison, from N random images whose labels are asked.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from discovery import cluster, load_splits
from machine import describe_machine
from torch import Tensor

from coarsecon.discovery.groups import images_by_class
from coarsecon.review.head import fit_head
from coarsecon.review.queue import QueueEntry, expected_gain, ordered

SHOWN = 10
"""Typical images of a cluster that an answer is about."""


def answer_clusters(
    features: Tensor, coarse: Tensor, fine: Tensor, k: str, model: str, agree: float, steps: Sequence[int]
) -> list[float]:
    """Return the fine accuracy after each number of answers, in the order of the review's queue."""
    groups = cluster(features, coarse, fine, model, k, 0)
    members = [(group, number) for group in groups for number in range(group.count)]
    entries = []
    for place, (group, number) in enumerate(members):
        probabilities = group.probability[group.clusters == number].tolist()
        entries.append(QueueEntry(place, "open", len(probabilities), expected_gain("open", probabilities)))
    labels = torch.full_like(fine, -1)
    found = []
    for answers, entry in enumerate(ordered(entries), start=1):
        group, number = members[entry.cluster]
        typical = group.most_typical(number)
        name, votes = Counter(fine[typical[:SHOWN]].tolist()).most_common(1)[0]
        if votes >= agree * len(typical[:SHOWN]):
            labels[typical] = name
        if answers in steps:
            found.append(accuracy(features, coarse, fine, labels))
    return found + [accuracy(features, coarse, fine, labels)] * (len(steps) - len(found))


def answer_images(features: Tensor, coarse: Tensor, fine: Tensor, steps: Sequence[int], seed: int) -> list[float]:
    """Return the fine accuracy after the labels of each number of random images."""
    order = torch.randperm(len(fine), generator=torch.Generator().manual_seed(seed))
    found = []
    for count in steps:
        labels = torch.full_like(fine, -1)
        labels[order[:count]] = fine[order[:count]]
        found.append(accuracy(features, coarse, fine, labels))
    return found


def accuracy(features: Tensor, coarse: Tensor, fine: Tensor, labels: Tensor) -> float:
    """Return the share of right labels in percent, where images without one get the nearest mean of their class."""
    predicted = labels.clone()
    for images in images_by_class(coarse).values():
        head = fit_head(features[images], labels[images])
        unknown = predicted[images] < 0
        if head is not None and unknown.any():
            best = torch.tensor(head.labels)[head.probability.argmax(1)]
            predicted[images[unknown]] = best[unknown]
    return 100 * float((predicted == fine).float().mean())


def main() -> None:
    """Print the table, and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="Run folder with a dataset that has fine labels.")
    parser.add_argument("--splits", nargs="+", default=["train"], help="Splits to review together.")
    parser.add_argument("--k", nargs="+", default=["auto", "5", "10", "20"], help="Numbers of clusters, as of cluster.")
    parser.add_argument("--model", default="temi")
    parser.add_argument("--agree", type=float, default=0.6)
    parser.add_argument("--answers", nargs="+", type=int, default=[25, 50, 100, 150, 200, 300, 400])
    parser.add_argument("--seeds", type=int, default=5, help="Draws of random images.")
    parser.add_argument("--plot", type=Path, help="Picture of the curves.")
    arguments = parser.parse_args()
    if arguments.run is None:
        print("review.py measures nothing without --run")
        return
    features, coarse, fine = load_splits(arguments.run, arguments.splits)
    steps = arguments.answers
    draws = [answer_images(features, coarse, fine, steps, seed) for seed in range(arguments.seeds)]
    rows = {"random images": [sum(each) / len(draws) for each in zip(*draws, strict=True)]}
    for k in arguments.k:
        rows[f"clusters, {k} per class" if k.isdigit() else f"clusters, {k}"] = answer_clusters(
            features, coarse, fine, k, arguments.model, arguments.agree, steps
        )
    print(f"{describe_machine()}\n\n| answers | {' | '.join(map(str, steps))} |\n|{'---|' * (len(steps) + 1)}")
    for name, values in rows.items():
        print(f"| {name} | {' | '.join(f'{value:.1f}' for value in values)} |")
    if arguments.plot:
        draw(arguments.plot, steps, rows)


def draw(path: Path, steps: Sequence[int], rows: dict[str, list[float]]) -> None:
    """Draw a curve for each row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in rows.items():
        axes.plot(steps, values, "o-" if name != "random images" else "k--", label=name, markersize=4)
    axes.set(xlabel="answers of the reviewer", ylabel="fine accuracy in %")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
