"""Few-shot episodes on features of the size of CIFAR-100: seconds per classifier, on one thread and on all.

    python benchmarks/fewshot.py --episodes 1000

Features are random around the centers of their classes, 10,000 x 512 with 100 classes and 5 augmented copies for the
support set. Both sides classify the same episodes, a tenth at a time in turns, and must agree on all of them.
"""

import argparse
import time

import torch
from machine import describe_machine
from torch import Tensor

from coarsecon.metrics.episodes import Episode
from coarsecon.metrics.fewshot import Embedded, Predict, draw_episodes, few_shot, predictor
from coarsecon.runtime.threads import single_threaded
from coarsecon.search.exact import l2_normalize

CLASSES, IMAGES, DIM, COPIES = 100, 10_000, 512, 5
CLASSIFIERS = ("cosine", "nearest", "logistic")
TURNS = 10


def problem(noise: float) -> tuple[Embedded, Tensor]:
    """Return L2-normalized features and their classes; `noise` is the standard deviation per coordinate."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(IMAGES) % CLASSES
    centers = l2_normalize(torch.randn(CLASSES, DIM, generator=generator))[labels]
    shown = [l2_normalize(centers + noise * torch.randn(IMAGES, DIM, generator=generator)) for _ in range(1 + COPIES)]
    return Embedded(shown[0], torch.stack(shown[1:], dim=1)), labels


def ours(predict: Predict, episodes: list[Episode]) -> list[Tensor]:
    """Classify on one thread, as `few_shot` does."""
    with single_threaded():
        return [predict(episode) for episode in episodes]


def plain(predict: Predict, episodes: list[Episode]) -> list[Tensor]:
    """Classify with the default number of threads."""
    return [predict(episode) for episode in episodes]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--ways", type=lambda text: text if text == "all" else int(text), default=5)
    parser.add_argument("--noise", type=float, default=0.15)
    options = parser.parse_args()

    model, labels = problem(options.noise)
    start = time.perf_counter()
    episodes = draw_episodes(labels, ways=options.ways, episodes=options.episodes)
    drawing = time.perf_counter() - start
    print(f"{describe_machine()}; {options.episodes} episodes of {options.ways} ways, drawn in {drawing:.2f} s")
    few_shot(predictor(model, "logistic"), episodes[:2])  # load the libraries
    print(f"{'':10}{'ours s':>10}{'plain s':>10}{'ratio':>8}{'accuracy':>10}{'± 95%':>8}")
    for classifier in CLASSIFIERS:
        predict = predictor(model, classifier)
        seconds = {ours: 0.0, plain: 0.0}
        found: dict[object, list[Tensor]] = {ours: [], plain: []}
        for turn in range(TURNS):
            for side in seconds:
                start = time.perf_counter()
                found[side] += side(predict, episodes[turn::TURNS])
                seconds[side] += time.perf_counter() - start
        assert all(map(torch.equal, found[ours], found[plain])), classifier
        result = few_shot(predict, episodes)
        print(
            f"{classifier:10}{seconds[ours]:10.2f}{seconds[plain]:10.2f}{seconds[plain] / seconds[ours]:8.2f}"
            f"{result.accuracy:10.4f}{result.ci95:8.4f}"
        )


if __name__ == "__main__":
    main()
