"""Default images of the benchmarks."""

from pathlib import Path

from coarsecon.data.prepare.dataset import prepare_dataset


def toy_images(folder: Path) -> Path:
    """Prepare the toy images in `folder`."""
    out = folder / "toy"
    prepare_dataset("toy", out)
    return out
