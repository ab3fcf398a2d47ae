"""The images that a benchmark works on where none are named."""

from pathlib import Path

from coarsecon.data.prepare.dataset import prepare_dataset


def toy_images(folder: Path) -> Path:
    """The toy images, prepared in `folder`."""
    out = folder / "toy"
    prepare_dataset("toy", out)
    return out
