"""What each of two processes finds for `test_sharing.py`, twice: features and retrieval that they share out.

Started as `python sharing_ranks.py RUN DATA OUT` under a launcher's environment; writes `rank0.pt` and `rank1.pt`.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.data.prepared.store import open_dataset
from coarsecon.evaluation import support
from coarsecon.evaluation.pairing import measure_retrieval, shared_values
from coarsecon.metrics.query_ranks import LabelPairs, Search
from coarsecon.nn.encoder import Encoder
from coarsecon.run import features
from coarsecon.run.features import FeatureStore
from coarsecon.run.folder import RunFolder
from coarsecon.run.spec import FeatureSpec, Runtime
from coarsecon.runtime.distributed import Distributed, connected

SIZE = 10
"""Images in a batch: five batches of the 48 test images, the last of them of eight."""


def searches() -> Iterator[tuple[Search, LabelPairs]]:
    """Among 701 items with classes small and large; and where no query of the second half has a coarse label."""
    draws = torch.Generator().manual_seed(0)
    rows = torch.randn(701, 8, generator=draws)
    fine = torch.randint(20, (701,), generator=draws)
    levels = {"fine": fine, "coarse": fine % 2}
    yield Search.among(rows), {level: (labels, labels) for level, labels in levels.items()}
    few = Search.among(rows[:31])
    coarse = torch.where(torch.arange(31) < 10, fine[:31] % 2, -1)
    yield few, {"fine": (fine[:31], fine[:31]), "coarse": (coarse, coarse)}


def found(run: RunFolder, data: Path, comm: Distributed) -> dict[str, Any]:
    """All that is shared, and how many images this rank embedded for each kind of features, and for the metrics."""
    original, counts = Encoder.features, []

    def counting(self: Encoder, batch: Any, **options: Any) -> torch.Tensor:
        counts[-1] += len(batch)
        return original(self, batch, **options)

    dataset, told = open_dataset(data), {}
    runtime = Runtime("cpu", 0, distributed=comm)
    store, flipping = FeatureStore(run, runtime=runtime), FeatureStore(run, FeatureSpec(flip=True), runtime)
    kinds = {
        "test": lambda: store.split(dataset, "test"),
        "flipped": lambda: flipping.split(dataset, "test"),
        "copies": lambda: support.embedded_split(store, dataset, "test", 2).support,
    }
    with patch.object(Encoder, "features", counting), patch.object(features, "BATCH", SIZE):
        with patch.object(support, "BATCH", SIZE):
            for name, make in kinds.items():
                counts.append(0)
                told[name] = make().clone()
        counts.append(0)
        test, train = SplitRef(dataset, "test"), SplitRef(dataset, "train")
        told["within"], told["among"] = measure_retrieval(store, test, test), measure_retrieval(store, test, train)
    told["searches"] = [shared_values(search, labels, comm) for search, labels in searches()]
    return {**told, "counts": counts}


def main(run: Path, data: Path, out: Path) -> None:
    torch.set_num_threads(1)
    with connected() as comm:
        torch.save([found(RunFolder(run), data, comm) for _ in range(2)], out / f"rank{comm.rank}.pt")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
