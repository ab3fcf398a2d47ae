"""Fine Recall@1 on the toy images: MaskCon against cross-entropy on coarse labels and MoCo, over several seeds.

    python benchmarks/toy.py --seeds 3

Each seed changes weights, order, and views on the same images, with the toy recipes of the quickstart.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

from images import toy_images
from machine import describe_machine

from coarsecon import recipes
from coarsecon.config import merge
from coarsecon.evaluation.pairing import measure_split
from coarsecon.run.facade import Run
from coarsecon.run.spec import Runtime
from coarsecon.runtime.progress import Reporter
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec

METHODS = ("maskcon", "moco", "supce")


def fine_recall(method: str, seed: int, folder: Path) -> float:
    """Train with the toy recipe of a method and return fine Recall@1 on the test images."""
    layers = merge(recipes.read(f"{method}-toy"), {"data": {"path": folder / "toy"}, "run": {"seed": seed}})
    run = pretrain(build_run_spec(layers), folder / f"{method}-{seed}")
    metrics, *_ = measure_split(Run(run, None, runtime=Runtime("auto", 0, Reporter())), "test")
    return metrics["fine"]["recall@1"]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        toy_images(folder)
        print(f"{describe_machine()}\n")
        print("| method | fine Recall@1 by seed, % | mean | spread | seconds per run |\n|---|---|---|---|---|")
        for method in METHODS:
            start = time.monotonic()
            values = []
            for seed in range(seeds):
                values.append(100 * fine_recall(method, seed, folder))
                print(f"{method}, seed {seed}: {values[-1]:.1f} %", file=sys.stderr, flush=True)
            spread = max(values) - min(values)
            seconds = (time.monotonic() - start) / seeds
            each = ", ".join(f"{value:.1f}" for value in values)
            print(f"| {method} | {each} | {mean(values):.1f} | {spread:.1f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
