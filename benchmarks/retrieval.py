"""Exact retrieval of every item among all others: `nearest` beside ten chunks of matrix product and topk.

    python benchmarks/retrieval.py --items 60000

Prints the median time of each side, their ratio (from interleaved runs) and the memory each adds at its peak,
measured in a process of its own.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from statistics import median

import torch
from torch import Tensor

from coarsecon.search.exact import nearest, unit


def ours(features: Tensor, k: int) -> Tensor:
    """Self excluded by identity."""
    return nearest(features, features, k, exclude=torch.arange(len(features)))[1]


def chunked(features: Tensor, k: int) -> Tensor:
    """The usual way: a tenth of the queries at a time, and the first hit is taken for the query itself."""
    found = [(chunk @ features.T).topk(k + 1).indices[:, 1:] for chunk in features.chunk(10)]
    return torch.cat(found)


SIDES: dict[str, Callable[[Tensor, int], Tensor]] = {"nearest": ours, "chunked": chunked}


def random_features(items: int, dim: int) -> Tensor:
    return unit(torch.randn(items, dim, generator=torch.Generator().manual_seed(0)))


def peak_memory(side: str, items: int, dim: int, k: int) -> float:
    """MiB that one side adds to the resident memory at its peak; to be called in a fresh process."""
    scale = 2**20 if sys.platform == "darwin" else 2**10
    features = random_features(items, dim)
    SIDES[side](features[:1000], k)  # libraries loaded and threads started
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    SIDES[side](features, k)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    # Before this process grows itself: a child starts out with the peak of its parent.
    memory = {}
    for name in SIDES:
        with get_context("spawn").Pool(1) as pool:
            memory[name] = pool.apply(peak_memory, (name, options.items, options.dim, options.k))

    features = random_features(options.items, options.dim)
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    found = {}
    for _ in range(options.repeats):
        for name, side in SIDES.items():
            start = time.perf_counter()
            found[name] = side(features, options.k)
            seconds[name].append(time.perf_counter() - start)

    same = (found["nearest"] == found["chunked"]).float().mean()
    print(f"{options.items} items x {options.dim}, k={options.k}, {torch.get_num_threads()} threads")
    print(f"{'':10}{'median s':>10}{'peak MiB':>10}")
    for name, values in seconds.items():
        print(f"{name:10}{median(values):10.3f}{memory[name]:10.0f}")
    print(f"ratio {median(seconds['chunked']) / median(seconds['nearest']):.2f}, same neighbours {same:.4%}")


if __name__ == "__main__":
    main()
