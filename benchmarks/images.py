"""The images that a benchmark works on where none are named."""

from pathlib import Path

from coarsecon import registry
from coarsecon.data.prepare.dataset import prepare_dataset
from coarsecon.data.sources import SourceRequest


def toy_images(folder: Path) -> Path:
    """The toy images, prepared in `folder`."""
    out = folder / "toy"
    prepare_dataset(registry.load(registry.DATASETS, "toy"), SourceRequest(), out)
    return out
