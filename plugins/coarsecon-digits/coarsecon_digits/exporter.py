"""Export the embeddings of a split to NumPy."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from coarsecon.exporters.base import Exporter, ExporterConfig

if TYPE_CHECKING:
    from coarsecon.run.facade import Run


class Npz(Exporter):
    """Embeddings and labels of a split as one NumPy file."""

    class Config(ExporterConfig):
        """Settings of the exporter."""

        split: str | None = Field(None, description="Split to export. Default: test, else val, else train.")

    def export(self, run: "Run", folder: Path, config: Config) -> list[str]:
        """Write `embeddings.npz`: features float32 [N, D], names, and labels int64 [N] of each level."""
        split = config.split or run.default_split()
        images = run.dataset.split(split)
        labels = {f"{level}_labels": column.numpy() for level, column in images.labels.items()}
        features = run.features(split).numpy()
        np.savez(folder / "embeddings.npz", features=features, names=np.array(list(images.names)), **labels)
        return [f"{len(features):,} embeddings of {split}; read them with numpy.load"]
