"""Preparing a folder of photos, against resizing it with PIL and torchvision; both with two processes.

    python benchmarks/prepare.py --images photos      (default: generated photos of 1600 x 1200 px)

Stock: PIL opens each image, torchvision resizes its shorter side, PIL writes a JPEG of quality 95. Ours: the complete
`coarsecon prepare folder`, which also reads labels, finds duplicates and broken images, and writes checksums.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from machine import describe_machine
from PIL import Image
from torchvision.transforms.functional import resize

from coarsecon.data.prepare.dataset import prepare_dataset

SIZE, WORKERS = 256, 2


def draw(folder: Path, count: int) -> None:
    """Generate smooth colors with some noise, which compress about as well as photos."""
    generator = np.random.default_rng(0)
    for number in range(count):
        target = folder / "train" / f"class-{number % 4}" / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        smooth = Image.fromarray(generator.integers(256, size=(12, 16, 3), dtype=np.uint8)).resize((1600, 1200))
        grain = generator.normal(0, 6, size=(1200, 1600, 1))
        Image.fromarray((np.asarray(smooth) + grain).clip(0, 255).astype(np.uint8)).save(target, quality=90)


def shrink(image: Path, *, images: Path, out: Path) -> None:
    """Resize one image with PIL and torchvision."""
    target = out / image.relative_to(images).with_suffix(".jpg")
    target.parent.mkdir(parents=True, exist_ok=True)
    resize(Image.open(image).convert("RGB"), SIZE).save(target, quality=95)


def stock(images: Path, out: Path) -> None:
    """Resize all images in a pool of processes."""
    files = sorted(path for path in images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("forkserver")) as pool:
        list(pool.map(partial(shrink, images=images, out=out), files, chunksize=8))


def ours(images: Path, out: Path) -> None:
    """Run `coarsecon prepare folder`."""
    prepare_dataset("folder", out, source=images, size=SIZE, workers=WORKERS)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--count", type=int, default=200, help="Number of images to generate.")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    sides, times = {"stock": stock, "ours": ours}, {"stock": [], "ours": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.images is None:
            draw(folder / "photos", arguments.count)
        images = arguments.images or folder / "photos"
        for repeat in range(arguments.repeats):
            for side, run in sides.items():
                start = time.perf_counter()
                run(images, folder / f"{side}-{repeat}")
                times[side].append(time.perf_counter() - start)
    usual = statistics.median(times["stock"])
    print(f"{describe_machine()}; {images.name}, to {SIZE} px, {WORKERS} processes\n")
    print("| implementation | median s | against stock |\n|---|---|---|")
    for side, values in times.items():
        print(f"| {side} | {statistics.median(values):.2f} | {usual / statistics.median(values):.2f}x |")


if __name__ == "__main__":
    main()
