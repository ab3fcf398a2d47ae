"""Feature extraction as in the evaluations, against a plain DataLoader loop in the same process.

    python benchmarks/extraction.py --data data/cifar100        (or without --data: the toy images)

Stock: per-image PIL and torchvision transforms in a DataLoader with 2 workers, float32, contiguous layout, batches of
250. Ours: `FeatureStore` with an empty cache, then with a full cache. ResNet-18, 32 px, random weights.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from images import toy_images
from machine import describe_machine
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from coarsecon.data.prepared.store import PreparedDataset, Split, open_dataset
from coarsecon.nn.encoder import load_encoder
from coarsecon.run.features import BATCH, FeatureStore
from coarsecon.run.folder import RunFolder
from coarsecon.run.spec import Runtime
from coarsecon.runtime.device import choose_device
from coarsecon.train.pretrain import pretrain
from coarsecon.train.resolve import build_run_spec

SPLIT = "test"


class Stock(Dataset[Tensor]):
    """Images through per-image PIL transforms."""

    def __init__(self, split: Split, size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.images = split.images.permute(0, 2, 3, 1).numpy()  # type: ignore[union-attr]
        steps = [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(mean, std)]
        self.view = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        image: Tensor = self.view(Image.fromarray(self.images[index]))
        return image


def stock(run: RunFolder, dataset: PreparedDataset) -> Callable[[], Tensor]:
    """Return a plain loop over a DataLoader."""
    device = choose_device("auto")
    encoder = load_encoder(run.encoder("last"), device)
    backbone = encoder.backbone.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    recipe = encoder.card.input
    images = Stock(dataset.split(SPLIT), recipe.size, recipe.mean, recipe.std)

    @torch.no_grad()
    def features() -> Tensor:
        batches = DataLoader(images, BATCH, num_workers=2)
        return torch.cat([F.normalize(backbone(batch.to(device)), dim=1).cpu() for batch in batches])

    return features


def ours(run: RunFolder, dataset: PreparedDataset, *, cached: bool) -> Callable[[], Tensor]:
    """Return an extraction with the feature cache, emptied first unless `cached`."""

    def features() -> Tensor:
        if not cached:
            shutil.rmtree(run.features, ignore_errors=True)
        return FeatureStore(run, runtime=Runtime("auto", 0)).split(dataset, SPLIT)

    return features


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = arguments.data or toy_images(folder)
        dataset = open_dataset(data)
        settings = {"data": {"path": str(data), "limit": 256}, "schedule": {"epochs": 1}, "run": {"monitor_every": 0}}
        run = pretrain(build_run_spec(settings), folder / "run")
        sides = {"stock": stock(run, dataset), "ours": ours(run, dataset, cached=False)}
        sides["ours, cached"] = ours(run, dataset, cached=True)
        times: dict[str, list[float]] = {name: [] for name in sides}
        found = {}
        for _ in range(arguments.repeats):
            for side, features in sides.items():
                start = time.perf_counter()
                found[side] = features()
                times[side].append(time.perf_counter() - start)
    torch.testing.assert_close(found["ours"], found["stock"], atol=1e-4, rtol=0)
    count, usual = len(found["ours"]), statistics.median(times["stock"])
    print(f"{describe_machine()}; {data.name} {SPLIT}, {count:,} images, ResNet-18, 32 px\n")
    print("| features | median s | images/s | against stock |\n|---|---|---|---|")
    for side, values in times.items():
        middle = statistics.median(values)
        print(f"| {side} | {middle:.2f} | {count / middle:,.0f} | {usual / middle:.2f}x |")


if __name__ == "__main__":
    main()
