"""Fine Recall@1 after training in bfloat16 and in float32, over several seeds.

    python benchmarks/precision.py --seeds 3
    python benchmarks/precision.py --seeds 3 --data data/cifar100 --limit 2000 --epochs 5

Uses the toy recipe, MaskCon with a small ResNet, on the toy images or on the images of --data.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

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


def fine_recall(layers: dict[str, Any], out: Path) -> float:
    """Train and return fine Recall@1 on the test images in percent."""
    run = pretrain(build_run_spec(layers), out)
    metrics, *_ = measure_split(Run(run, None, runtime=Runtime("auto", 0, Reporter())), "test")
    return 100 * metrics["fine"]["recall@1"]


def settings(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the settings of the toy recipe for the toy images or for --data."""
    if arguments.data is None:
        data = {"path": toy_images(folder)}
    else:
        data = {"path": arguments.data, "limit": arguments.limit, "size": 32}
    layers = merge(recipes.read("maskcon-toy"), {"data": data})
    return merge(layers, {"schedule": {"epochs": arguments.epochs}} if arguments.epochs else {})


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        layers = settings(arguments, Path(name))
        recalls: dict[str, list[float]] = {"float32": [], "bfloat16": []}
        for seed in range(arguments.seeds):
            for precision, found in recalls.items():
                run = {"run": {"seed": seed, "precision": precision}}
                found.append(fine_recall(merge(layers, run), Path(name) / f"{precision}-{seed}"))
                print(f"{precision}, seed {seed}: {found[-1]:.1f} %", file=sys.stderr, flush=True)
    print(f"{describe_machine()}\n")
    print("| precision | fine Recall@1 by seed, % | mean | standard deviation |\n|---|---|---|---|")
    for precision, found in recalls.items():
        each = ", ".join(f"{value:.1f}" for value in found)
        print(f"| {precision} | {each} | {mean(found):.1f} | {stdev(found):.1f} |")


if __name__ == "__main__":
    main()
