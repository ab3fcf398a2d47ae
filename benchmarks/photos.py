"""Retrieval on your photos: frozen weights against training from them on coarse labels, over several seeds.

    python benchmarks/photos.py --table photos.csv --weights tf_efficientnet_lite0.safetensors --out photos

The table of images has the columns `path`, `coarse`, `fine` and `split` (train and test). Queries are the test images,
the gallery is the training images. Every run has the settings that are the defaults for pretrained weights. Finished
runs are not trained again, and `--minutes` limits the time in which new ones are started.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from machine import describe_machine
from scipy.stats import t

import coarsecon
from coarsecon.config import merge
from coarsecon.data.prepared.store import open_dataset
from coarsecon.importers.convert import import_checkpoint
from coarsecon.run.combine import combine_runs
from coarsecon.train.finetune_defaults import finetune_defaults

METHODS = ("cnce", "supce", "maskcon", "moco")
GROUPS = {"fine": "fine", "coarse": "coarse", "fine_within_coarse": "within"}
Make = Callable[[Path], object]


class Measured(NamedTuple):
    """One run: its metrics in percent by column, and the minutes of its training."""

    row: str
    seed: int
    metrics: dict[str, float]
    minutes: float


def rows(arguments: argparse.Namespace) -> list[tuple[str, int, Make]]:
    """Return the name, the seed, and the maker of every run, cheapest seeds of all rows first."""
    data, frozen = arguments.out / "data", arguments.out / "frozen-0"
    backbone = {"name": arguments.backbone}
    trained = {**backbone, "weights": str(arguments.weights)}

    defaults = finetune_defaults(len(open_dataset(data).split("train")))

    def pretrain(method: str, seed: int, initial: dict[str, str]) -> Make:
        sections = merge(defaults, {"backbone": initial, "run": {"seed": seed, "monitor_every": 0}})
        return lambda out: coarsecon.pretrain(
            data, method=method, out=out, resume=(out / "config.yaml").exists(), **sections
        )

    def combine(seed: int) -> Make:
        runs = [frozen, arguments.out / f"{METHODS[0]}-{seed}"]
        return lambda out: combine_runs(runs, out, weights=[1, 2])

    imported: Make = lambda out: import_checkpoint(  # noqa: E731
        arguments.weights, "timm", out, data=data, backbone=arguments.backbone
    )
    found = [("frozen", 0, imported)]
    for seed in range(arguments.seeds):
        found += [(method, seed, pretrain(method, seed, trained)) for method in METHODS]
        found.append((f"frozen and {METHODS[0]}", seed, combine(seed)))
        if arguments.scratch:
            found.append((f"{METHODS[0]} from random weights", seed, pretrain(METHODS[0], seed, backbone)))
    return found


def measure(row: str, seed: int, make: Make, folder: Path) -> Measured:
    """Train a run unless it is finished, and return its metrics."""
    out = folder / f"{row.replace(' ', '-')}-{seed}"
    record = folder / f"{out.name}.json"
    if record.exists():
        return Measured(**json.loads(record.read_text()))
    start = time.monotonic()
    make(out)
    minutes = (time.monotonic() - start) / 60
    result = coarsecon.evaluate(out, "retrieve", split="test", gallery_split="train")
    values = result.to_json()
    metrics = {column: 100 * values[group]["recall@1"] for group, column in GROUPS.items() if group in values}
    measured = Measured(row, seed, metrics, minutes)
    record.write_text(json.dumps(measured._asdict()))
    return measured


def table(measured: list[Measured]) -> str:
    """Return the table of all rows: mean and 95% interval over seeds, by Student's t."""
    columns = list(GROUPS.values())
    lines = [f"| | {' | '.join(columns)} | seeds | minutes |", f"|{'---|' * (len(columns) + 3)}"]
    for row in dict.fromkeys(each.row for each in measured):
        runs = [each for each in measured if each.row == row]
        cells = [_interval([each.metrics[column] for each in runs if column in each.metrics]) for column in columns]
        minutes = mean(each.minutes for each in runs)
        lines.append(f"| {row} | {' | '.join(cells)} | {len(runs)} | {minutes:.1f} |")
    return "\n".join(lines)


def _interval(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2f}" if values else ""
    half = t.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5
    return f"{mean(values):.2f} ± {half:.2f}"


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="Table of images.")
    parser.add_argument("--weights", type=Path, help="Weights of the backbone, a file.")
    parser.add_argument("--backbone", default="tf_efficientnet_lite0", help="timm name of the backbone.")
    parser.add_argument("--size", type=int, default=112, help="Image size in pixels.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scratch", action="store_true", help="Also train from random weights.")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="Start no run after this time.")
    parser.add_argument("--out", type=Path, default=Path("photos"), help="Folder for the dataset and the runs.")
    arguments = parser.parse_args()
    if arguments.table is None or arguments.weights is None:
        print("photos.py measures nothing without --table and --weights")
        return
    if not (arguments.out / "data").exists():
        coarsecon.prepare("folder", arguments.out / "data", table=arguments.table, size=arguments.size)
    measured: list[Measured] = []
    start = time.monotonic()
    for row, seed, make in rows(arguments):
        if time.monotonic() - start < 60 * arguments.minutes:
            measured.append(measure(row, seed, make, arguments.out))
            print(f"{row}, seed {seed}: {measured[-1].metrics}", file=sys.stderr, flush=True)
    print(f"{describe_machine()}\n\n{table(measured)}")


if __name__ == "__main__":
    main()
