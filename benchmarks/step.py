"""One MaskCon training step including views, against a plain implementation in the same process.

Stock: torchvision's per-image PIL transforms in a DataLoader with 2 workers, float32, contiguous layout, targets
built as dense float matrices with repeated labels. Ours: the training loop's own step. ResNet-18, batch 128,
queue 8192. The sides take turns, on a GPU several steps at a time (as many as have their views drawn
together) before it is synchronized; the table shows medians and their ratio. `views only` is the part of our step
for images and views.

    python benchmarks/step.py --data data/cifar100        (default: the toy images)
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from images import toy_images
from machine import describe_machine, synchronize
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from coarsecon.data.prepared.store import Split, open_dataset
from coarsecon.run.folder import RunFolder
from coarsecon.runtime import seeds
from coarsecon.runtime.progress import Reporter
from coarsecon.train import batches
from coarsecon.train.loop import Loop
from coarsecon.train.pretrain import Pretraining
from coarsecon.train.resolve import build_run_spec

BATCH, QUEUE, DIM = 128, 8192, 256


class TwoViews(Dataset[Any]):
    """Two views of each image through PIL transforms, as in published code."""

    def __init__(self, split: Split, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.images = split.images.permute(0, 2, 3, 1).numpy()  # type: ignore[union-attr]
        self.labels = split.labels["coarse"].tolist()
        end = [transforms.ToTensor(), transforms.Normalize(mean, std)]
        crop = [transforms.RandomResizedCrop(32, scale=(0.2, 1.0)), transforms.RandomHorizontalFlip()]
        policy = transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10, fill=[128, 128, 128])
        self.strong, self.weak = transforms.Compose([*crop, policy, *end]), transforms.Compose([*crop, *end])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        image = Image.fromarray(self.images[index])
        return self.strong(image), self.weak(image), self.labels[index]


class StockStep:
    """Plain training step: float32, contiguous, dense targets, a loop for the EMA."""

    def __init__(self, trainer: Pretraining, split: Split) -> None:
        method, image, self.device = trainer.method, trainer.spec.card.input, trainer.device
        self.query = nn.Sequential(copy.deepcopy(method.encoder), copy.deepcopy(method.projector))
        self.query.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.queue, self.queue_labels = method.queue.keys.clone(), method.queue.labels.clone()
        self.optimizer = torch.optim.SGD(self.query.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
        self.batches = self._forever(
            DataLoader(TwoViews(split, image.mean, image.std), BATCH, shuffle=True, num_workers=2, drop_last=True)
        )
        self.position = 0

    def _forever(self, loader: DataLoader[Any]) -> Iterator[Any]:
        while True:
            yield from loader

    def __call__(self) -> None:
        strong, weak, labels = (part.to(self.device) for part in next(self.batches))
        with torch.no_grad():
            for key, query in zip(self.key.parameters(), self.query.parameters(), strict=True):
                key.data = key.data * 0.99 + query.data * 0.01
            k = F.normalize(self.key(weak), dim=1)
            same = labels.view(-1, 1).repeat(1, QUEUE) == self.queue_labels.view(1, -1).repeat(BATCH, 1)
            soft = torch.exp(k @ self.queue.T / 0.05) * same.float()
            soft = soft / soft.sum(1, keepdim=True)
            soft = soft / soft.max(1, keepdim=True).values
            target = torch.cat([torch.ones(BATCH, 1), soft], 1)
            target = target / target.sum(1, keepdim=True)
        q = F.normalize(self.query(strong), dim=1)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ self.queue.T], 1) / 0.1
        loss = -(target * torch.log_softmax(logits, 1)).sum(1).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        loss.item()
        self.queue[self.position : self.position + BATCH] = k
        self.queue_labels[self.position : self.position + BATCH] = labels
        self.position = (self.position + BATCH) % QUEUE


def forever(trainer: Pretraining) -> Iterator[Any]:
    """Yield batches, epoch after epoch."""
    for epoch in range(10**6):
        order = batches.epoch_batches(len(trainer.spec.split), BATCH, seed=0, epoch=epoch)
        yield from trainer.source.draw(order, seeds.VIEWS, epoch * len(order))


def our_step(trainer: Pretraining) -> Callable[[], None]:
    """Return the training loop's step including views."""
    items = forever(trainer)
    return lambda: (Loop(trainer).train_step(next(items), 0.02), None)[1]


def our_views(trainer: Pretraining) -> Callable[[], None]:
    """Return the part of the step for images and views."""
    items = forever(trainer)
    return lambda: (next(items), None)[1]


def build(data: Path, precision: str, *, compile: bool = False) -> Pretraining:
    """Create a trainer with the paper's settings and a labeled queue."""
    settings = {
        "data": {"path": str(data)},
        "method": {"name": "maskcon", "queue_size": QUEUE, "dim": DIM},
        "run": {"precision": precision, "batch_size": BATCH, "compile": compile},
    }
    trainer = Pretraining(build_run_spec(settings), RunFolder(Path("unused")), Reporter())
    queue: Any = trainer.method.queue
    queue.labels.copy_(torch.arange(QUEUE) % len(trainer.spec.dataset.info.levels["coarse"]))
    return trainer


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=7, help="Turns of each side.")
    parser.add_argument("--compile", action="store_true", help="Compile our networks.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or toy_images(Path(folder))
        precisions = ["auto", "float32"]
        trainers = {name: build(data, name, compile=arguments.compile) for name in precisions}
        sides: dict[str, Callable[[], None]] = {name: our_step(trainer) for name, trainer in trainers.items()}
        sides["views"] = our_views(trainers["auto"])
        sides["stock"] = StockStep(build(data, "float32"), open_dataset(data).split("train"))
        times: dict[str, list[float]] = {name: [] for name in sides}
        together = 4 * trainers["auto"].steps_at_once if torch.accelerator.is_available() else 1
        for turn in range(arguments.steps + 2):
            for name, step in sides.items():
                start = time.perf_counter()
                for _ in range(together):
                    step()
                synchronize()
                if turn >= 2:
                    times[name].append((time.perf_counter() - start) / together)
    stock = statistics.median(times["stock"])
    print(f"{describe_machine()}; {data.name}, ResNet-18, 32 px, batch {BATCH}, queue {QUEUE}\n")
    print("| step | median ms | images/s | against stock |\n|---|---|---|---|")
    for name, values in times.items():
        middle = statistics.median(values)
        label = build_label(name)
        against = (
            f"{middle / statistics.median(times['auto']):.1%} of our step"
            if name == "views"
            else f"{stock / middle:.2f}x"
        )
        print(f"| {label} | {1000 * middle:.1f} | {BATCH / middle:.0f} | {against} |")


def build_label(name: str) -> str:
    """Name a side in the table."""
    named = {"stock": "stock: PIL views, float32, contiguous, dense targets", "views": "ours, views only"}
    return named.get(name, f"ours, precision {name}")


if __name__ == "__main__":
    main()
