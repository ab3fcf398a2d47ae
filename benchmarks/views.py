"""Batched views against torchvision's per-image PIL transforms, in images per second on one CPU thread.

Ours run on a GPU if there is one (pass --batch 4096, the number that the training loop draws together there).

    python benchmarks/views.py [--size 32] [--batch 256] [--rounds 9]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from machine import describe_machine, synchronize
from PIL import Image
from torchvision import transforms as T

from coarsecon.runtime.device import choose_device
from coarsecon.views.batch import ImageBatch
from coarsecon.views.presets import make_view

MEAN = STD = (0.5, 0.5, 0.5)


def peers(size: int) -> dict[str, list[Callable]]:
    """Return torchvision's transforms by the names of our views."""
    weak = [T.RandomResizedCrop(size, scale=(0.2, 1.0)), T.RandomHorizontalFlip()]
    policy = T.AutoAugment(T.AutoAugmentPolicy.CIFAR10, fill=(128, 128, 128))
    perspective = T.RandomPerspective(0.5, p=0.5)
    simclr = [T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8), T.RandomGrayscale(0.2)]
    blur = T.RandomApply([T.GaussianBlur(23, sigma=(0.1, 2.0))], p=0.5)
    return {
        "weak": weak,
        "autoaugment": [*weak, policy],
        "perspective": [*weak, perspective],
        "cars": [*weak, perspective, *simclr, blur],
        "simclr": [*weak, *simclr],
        "simclr-blur": [*weak, *simclr, blur],
        "test": [T.Resize((size, size))],
    }


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32, help="Image size in pixels.")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=9, help="Timed rounds, of which the median is shown.")
    options = parser.parse_args()

    torch.set_num_threads(1)
    device = choose_device("auto")
    torch.ones(7 << 20)  # 28 MB, freed: the allocator then keeps freed memory, as in training
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 256, (options.batch, options.size, options.size, 3), dtype=np.uint8)
    batch = ImageBatch.full(torch.from_numpy(arrays).permute(0, 3, 1, 2).contiguous().to(device))
    generator = torch.Generator(device).manual_seed(0)

    print(
        f"{describe_machine()}; {options.size} px, batch {options.batch}, 1 thread, median of {options.rounds} rounds"
    )
    print("| view | torchvision, PIL (images/s) | coarsecon (images/s) | ratio |\n| --- | --- | --- | --- |")
    for name, steps in peers(options.size).items():
        peer = T.Compose([*steps, T.ToTensor(), T.Normalize(MEAN, STD)])
        view = make_view(name, size=options.size, mean=MEAN, std=STD)
        sides = (
            lambda peer=peer: torch.stack([peer(Image.fromarray(array)) for array in arrays]),
            lambda view=view: view(batch, generator),
        )
        for side in sides:  # warm up
            side()
        rounds = [[seconds(side) for side in sides] for _ in range(options.rounds)]
        theirs, mine = (options.batch / statistics.median(times) for times in zip(*rounds, strict=True))
        print(f"| {name} | {theirs:,.0f} | {mine:,.0f} | {mine / theirs:.1f}x |")


if __name__ == "__main__":
    main()
