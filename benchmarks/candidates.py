"""Number of bfloat16 candidates that contain the k = 100 nearest neighbors, by tightness of the classes.

    python benchmarks/candidates.py --items 60000

Searching in bfloat16 and ranking slightly more than k candidates again in float32 is exact if every true neighbor is
among the candidates. `needed` is the rank of the last true neighbor in bfloat16 order; `proven` is the number of items
so close that rounding could hide a true neighbor there (Cauchy-Schwarz over the rounding error of each
row, plus rounding of the score). Random classes around random centers: the larger the cosine within, the tighter.
"""

import argparse

import torch
from machine import describe_machine
from torch import Tensor

from coarsecon.search.exact import l2_normalize

K, QUERIES, DIM = 100, 300, 512


def candidates_needed(features: Tensor) -> tuple[Tensor, Tensor]:
    """Compute (needed, proven) for some queries among all others; features [N, D] are L2-normalized."""
    halved = features.bfloat16()
    lost = (features - halved.float()).norm(dim=1)
    queries = torch.arange(min(QUERIES, len(features)))
    scores, rough = features[queries] @ features.T, (halved[queries] @ halved.T).float()
    for matrix in (scores, rough):
        matrix[queries, queries] = -torch.inf
    best = scores.topk(K)
    needed = (rough >= rough.gather(1, best.indices).amin(1, keepdim=True)).sum(1)
    bound = lost[queries, None] + 1.01 * lost.max() + rough.abs().nan_to_num(posinf=0) * 2**-8
    return needed, (rough >= best.values[:, -1:] - bound).sum(1)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=60_000)
    items = parser.parse_args().items
    print(f"{describe_machine()}; {items:,} x {DIM}, k = {K}\n")
    print("| classes | cosine within a class | needed: median, max | proven: median, max |\n|---|---|---|---|")
    for classes in (1000, 100):
        for noise in (1.0, 0.5, 0.35, 0.2):
            generator = torch.Generator().manual_seed(0)
            centers = torch.randn(classes, DIM, generator=generator)
            own = torch.arange(items) % classes
            features = l2_normalize(centers[own] + noise * torch.randn(items, DIM, generator=generator))
            counted = [f"{int(counts.median())}, {int(counts.max())}" for counts in candidates_needed(features)]
            print(f"| {classes} | {1 / (1 + noise**2):.2f} | {counted[0]} | {counted[1]} |", flush=True)


if __name__ == "__main__":
    main()
