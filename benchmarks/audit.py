"""Time of the stages of `coarsecon data audit` for a number of images, and for 100,000.

    python benchmarks/audit.py --images 20000

Scanning is timed on JPEG files of random photos of 146 x 128 px, the size of copies for an image size of 112, and grows
with the number of images. The searches are timed on random hashes and features, and grow with its square.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from machine import describe_machine
from PIL import Image

from coarsecon.auditing.confident import check_labels
from coarsecon.auditing.duplicates import Pairs, hash_neighbors
from coarsecon.auditing.neighbors import find_neighbors, voters
from coarsecon.auditing.noise_test import run_noise_tests
from coarsecon.auditing.scan import scan_dataset
from coarsecon.data.prepare.dataset import prepare_dataset
from coarsecon.runtime.progress import Reporter

TARGET, DIM, CLASSES, K, SCANNED = 100_000, 1280, 100, 20, 2000


def timed(work: Callable[[], object]) -> np.ndarray:
    """Return the seconds that work takes, and those of the processors, which other processes do not change much."""
    start, before = time.perf_counter(), sum(os.times()[:4])
    work()
    return np.array([time.perf_counter() - start, sum(os.times()[:4]) - before])


def scanning(workers: int) -> np.ndarray:
    """Return the seconds in which `SCANNED` images are scanned."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos" / "one"
        photos.mkdir(parents=True)
        for i in range(SCANNED):
            noise = Image.fromarray(rng.integers(0, 255, (16, 18, 3), np.uint8))
            noise.resize((146, 128), Image.Resampling.BICUBIC).save(photos / f"{i}.jpg", quality=95, subsampling=0)
        data = prepare_dataset("folder", Path(folder) / "data", source=photos.parent, size=112, workers=workers)
        return timed(lambda: scan_dataset(data, workers=workers))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    settings = parser.parse_args()
    count = settings.images
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**63, count, dtype=np.uint64)
    labels = rng.integers(0, CLASSES, count)
    centers = torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(count, DIM, generator=torch.Generator().manual_seed(1))
    features = torch.nn.functional.normalize(centers[torch.from_numpy(labels)] + noise, dim=1)
    none = np.zeros(0, np.int64)
    found = []
    rows = [("scan", scanning(settings.workers) * TARGET / SCANNED, SCANNED)]
    square = (TARGET / count) ** 2
    rows.append(("neighbors by hashes", timed(lambda: hash_neighbors(bits, 16)) * square, count))
    seconds = timed(lambda: found.append(find_neighbors(features, K, Reporter())))
    rows.append((f"neighbors by {DIM} features", seconds * square, count))

    def label_check() -> None:
        cosines, others = found[0].others(Pairs(none, none, none.astype(float), none.astype(bool)), K)
        voting = voters(cosines, others)
        check_labels(voting.votes(labels, CLASSES), labels)
        run_noise_tests(voting, labels, CLASSES, fraction=0.05, seed=0)

    rows.append(("labels with tests", timed(label_check) * TARGET / count, count))
    print(describe_machine())
    print(f"\n| stage | measured with | {TARGET:,} images, s | processor s |\n| --- | ---: | ---: | ---: |")
    for name, both, measured in rows:
        print(f"| {name} | {measured:,} | {both[0]:.0f} | {both[1]:.0f} |")
    total = sum(both for _, both, _ in rows)
    print(f"| all | | {total[0]:.0f} | {total[1]:.0f} |")


if __name__ == "__main__":
    main()
