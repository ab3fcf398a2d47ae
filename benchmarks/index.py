"""A million vectors in an approximate index: time, memory above the vectors, and recall against exact search.

    python benchmarks/index.py --items 1000000

Vectors are random around a thousand unit-norm centers with noise of norm 1.5. Memory is the growth of the
peak resident set of a fresh process while the index is built, queried, and measured.
"""

import argparse
import time
from multiprocessing import get_context

import torch
from machine import describe_machine, watch_memory
from torch import Tensor

from coarsecon.search.index import SearchIndex, index_recall
from coarsecon.search.items import ItemTable

CLUSTERS = 1000


def clustered(items: int, dim: int) -> Tensor:
    """Return vectors [N, D] around unit-norm centers with noise of norm 1.5."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.nn.functional.normalize(torch.randn(CLUSTERS, dim, generator=generator), dim=1)
    vectors = torch.randn(items, dim, generator=generator).mul_(1.5 / dim**0.5)
    for start in range(0, items, CLUSTERS):
        vectors[start : start + CLUSTERS] += centers[: items - start]
    return vectors


def measure(spec: str, items: int, dim: int, k: int) -> dict[str, float]:
    """Measure seconds, queries per second, MiB, and recall of an index. Call it in a fresh process."""
    vectors = clustered(items, dim)
    table = ItemTable(names=list(map(str, range(items))))
    SearchIndex.build(vectors[:4096], ItemTable(names=list(map(str, range(4096)))), "IVF16,Flat")  # load the libraries
    added = watch_memory()
    start, cpu = time.perf_counter(), time.process_time()
    index = SearchIndex.build(vectors, table, spec)
    built, built_cpu = time.perf_counter() - start, time.process_time() - cpu
    start = time.perf_counter()
    index.query(vectors[:10_000], k)
    asked = 10_000 / (time.perf_counter() - start)
    recall = index_recall(index, vectors, k)
    return {
        "build s": built,
        "processor s": built_cpu,
        "queries/s": asked,
        "MiB": added(),
        "recall": recall,
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--specs", nargs="+", default=["IVF2048,Flat", "IVF2048,PQ64x4fs,RFlat"])
    options = parser.parse_args()
    print(describe_machine())
    raw = options.items * options.dim * 4 / 2**20
    print(f"{options.items:,} x {options.dim} ({raw:,.0f} MiB), k={options.k}; MiB are above the vectors")
    for spec in options.specs:
        with get_context("spawn").Pool(1) as pool:
            found = pool.apply(measure, (spec, options.items, options.dim, options.k))
        print(f"{spec:24}" + "".join(f"  {name} {value:,.3f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
