"""Exact retrieval, its metrics, and k-NN voting, each against the usual implementation.

    python benchmarks/retrieval.py --items 60000 --dim 512

- search: every item among all others, against ten chunks of matrix product and topk;
- metrics: all metrics of `coarsecon retrieve` for 100 fine classes in 20 coarse classes;
- vote: 200 neighbors with 10,000 classes, against the one-hot vote of the published code.

Sides take turns; a ratio compares their medians. Memory is the growth of the peak resident set in a
fresh process on the CPU. Processor seconds are printed for machines under other load.
"""

import argparse
import time
from collections.abc import Callable
from multiprocessing import get_context
from statistics import median

import torch
from machine import describe_machine, synchronize, watch_memory
from torch import Tensor

from coarsecon.metrics import knn
from coarsecon.metrics.query_ranks import Search
from coarsecon.metrics.retrieval import retrieval_values, summary, values_within
from coarsecon.runtime.device import choose_device
from coarsecon.search.exact import l2_normalize, nearest_others

Side = Callable[[Tensor], Tensor]
K, VOTERS, CLASSES = 100, 200, 10_000


def ours(features: Tensor) -> Tensor:
    """Search with the query excluded by identity; each product serves both items."""
    return nearest_others(features, K)[1]


def chunked(features: Tensor) -> Tensor:
    """Search a tenth of the queries at a time, and drop the first hit as the query itself."""
    found = [(chunk @ features.T).topk(K + 1).indices[:, 1:] for chunk in features.chunk(10)]
    return torch.cat(found)


def metrics(features: Tensor) -> Tensor:
    """Compute the metrics of fine, coarse, and fine within coarse labels."""
    fine = torch.arange(len(features)) % 100
    search, pairs = Search.among(features), {"fine": (fine, fine), "coarse": (fine // 5, fine // 5)}
    values = retrieval_values(search, pairs)
    values_within(search, pairs["fine"], pairs["coarse"])
    return torch.tensor([summary(values[level], pair[0])["map@r"] for level, pair in pairs.items()])


def neighbors(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return random cosines and classes [Q, k], so that only the vote is measured."""
    generator = torch.Generator().manual_seed(1)
    count = len(features) // 25
    cosines = torch.rand(count, VOTERS, generator=generator).sort(descending=True).values
    return cosines, torch.randint(CLASSES, (count, VOTERS), generator=generator)


def our_vote(features: Tensor) -> Tensor:
    """Vote in chunks of bounded memory."""
    cosines, classes = neighbors(features)
    rows = max(1, knn.VOTES_AT_ONCE // CLASSES)
    voted = [
        knn.vote(*piece, CLASSES, ks=[VOTERS], t=0.1)
        for piece in zip(cosines.split(rows), classes.split(rows), strict=True)
    ]
    return torch.cat([found[VOTERS] for found in voted])


def one_hot_vote(features: Tensor) -> Tensor:
    """Vote with one-hot rows as in the published code, 128 queries at a time."""
    predicted = []
    for cosines, classes in zip(*(part.split(128) for part in neighbors(features)), strict=True):
        one_hot = torch.zeros(classes.numel(), CLASSES).scatter_(1, classes.view(-1, 1), 1.0)
        scores = one_hot.view(len(classes), -1, CLASSES) * (cosines / 0.1).exp()[:, :, None]
        predicted.append(scores.sum(1).argmax(1))
    return torch.cat(predicted)


CLAIMS: dict[str, dict[str, Side]] = {
    "search": {"nearest": ours, "chunked": chunked},
    "metrics": {"metrics": metrics},
    "vote": {"scatter": our_vote, "one-hot": one_hot_vote},
}


def random_features(items: int, dim: int) -> Tensor:
    return l2_normalize(torch.randn(items, dim, generator=torch.Generator().manual_seed(0)))


def memory_of(claim: str, name: str, items: int, dim: int) -> float:
    """Return the growth of the peak resident set in MiB. Call it in a fresh process."""
    side, features = CLAIMS[claim][name], random_features(items, dim)
    side(features[:500].clone())  # load libraries and start threads
    added = watch_memory()
    side(features)
    return added()


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--claims", nargs="+", choices=CLAIMS, default=list(CLAIMS))
    options = parser.parse_args()
    print(f"{describe_machine()}; {options.items:,} x {options.dim}")
    # First, because a child process starts with the peak of its parent.
    memory = {}
    for claim in options.claims:
        for name in CLAIMS[claim]:
            with get_context("spawn").Pool(1) as pool:
                memory[name] = pool.apply(memory_of, (claim, name, options.items, options.dim))
    on_cpu = random_features(options.items, options.dim)
    print(f"{'':10}{'':10}{'median s':>10}{'processor':>10}{'peak MiB':>10}")
    for claim in options.claims:
        features = on_cpu.to(choose_device("auto")) if claim == "search" else on_cpu  # the others run on the CPU
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in CLAIMS[claim]}
        found = {}
        for _ in range(options.repeats):
            for name, side in CLAIMS[claim].items():
                start, cpu = time.perf_counter(), time.process_time()
                found[name] = side(features)
                synchronize()
                seconds[name].append((time.perf_counter() - start, time.process_time() - cpu))
        medians = {name: [median(values) for values in zip(*pairs, strict=True)] for name, pairs in seconds.items()}
        for name, (wall, cpu) in medians.items():
            print(f"{claim:10}{name:10}{wall:10.3f}{cpu:10.3f}{memory[name]:10.0f}")
        if len(medians) == 2:
            (one, other), (mine, theirs) = medians.values(), found.values()
            wall, cpu = (b / a for a, b in zip(one, other, strict=True))
            same = (mine == theirs).float().mean()
            print(f"{claim:10}ratio {wall:.2f} ({cpu:.2f} in processor time), same {same:.4%}")


if __name__ == "__main__":
    main()
