"""A million images in pieces are prepared in the memory of a few thousand."""

import subprocess
import sys
from pathlib import Path

import pytest

PREPARE = """
import resource, sys
import numpy as np
from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.sources import Chunked, SourceData, SplitData

piece = np.random.default_rng(0).integers(0, 256, (2000, 3, 32, 32), dtype=np.uint8)
levels = {"coarse": [str(i) for i in range(12)], "fine": [str(i) for i in range(1000)]}
for count in (4000, 104_000):
    images = Chunked(count, 32, lambda: (piece for _ in range(count // len(piece))))
    split = SplitData({"coarse": np.arange(count) % 12, "fine": np.arange(count) % 1000}, images)
    dataset = write_dataset(f"{sys.argv[1]}/{count}", SourceData("many", 32, levels, {"train": split}))
    assert len(dataset.split("train")) == count
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_pixels(tmp_path: Path) -> None:
    """Labels and names grow with the number of images, by about 100 bytes each of 3072."""
    if sys.platform != "linux":
        pytest.skip("reads the peak memory in KiB")
    run = [sys.executable, "-c", PREPARE, tmp_path]
    few, many = map(int, subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())
    assert (many - few) / 100_000 < 400
