"""How many candidates by bfloat16 products hold the k = 100 nearest neighbours, by how tight the classes are.

    python benchmarks/candidates.py --items 60000

Searching with half the bits and ranking a few more than k again in float32 is exact where every true neighbour is among
those candidates. `needed` is the rank of the last true neighbour in the order of bfloat16; `proven` is how many items
lie so near that rounding alone might hide a true neighbour there (Cauchy-Schwarz over what rounding takes from each
row, and the rounding of the score). Random classes around random centres: the larger the cosine within, the tighter.
"""

import argparse

import torch
from machine import describe_machine
from torch import Tensor

from coarsecon.search.exact import l2_normalize

K, QUERIES, DIM = 100, 300, 512


def candidates_needed(features: Tensor) -> tuple[Tensor, Tensor]:
    """(needed, proven) of a few queries among all others; features [N, D] have unit length."""
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
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=60_000)
    items = parser.parse_args().items
    print(f"{describe_machine()}; {items:,} x {DIM}, k = {K}\n")
    print("| classes | cosine within a class | needed: median, most | proven: median, most |\n|---|---|---|---|")
    for classes in (1000, 100):
        for noise in (1.0, 0.5, 0.35, 0.2):
            generator = torch.Generator().manual_seed(0)
            centres = torch.randn(classes, DIM, generator=generator)
            own = torch.arange(items) % classes
            features = l2_normalize(centres[own] + noise * torch.randn(items, DIM, generator=generator))
            told = [f"{int(counts.median())}, {int(counts.max())}" for counts in candidates_needed(features)]
            print(f"| {classes} | {1 / (1 + noise**2):.2f} | {told[0]} | {told[1]} |", flush=True)


if __name__ == "__main__":
    main()
