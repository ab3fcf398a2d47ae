"""CIFARtoy: eight classes of CIFAR-10 in two coarse groups, similar classes (good) or dissimilar ones (bad)."""

from typing import Literal

import numpy as np

from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest, SplitData, cifar10
from coarsecon.data.sources.cifar import AGAIN, SIZE, Cifar
from coarsecon.data.sources.labels import class_names, read_table
from coarsecon.errors import InputError


class CifarToy(Source):
    """Read one grouping of the label table `cifartoy`: eight classes of CIFAR-10, renumbered, and their groups."""

    counts = {"train": 40_000, "test": 8_000}
    levels = {"coarse": 2, "fine": 8}
    default_size = SIZE
    url = Cifar.url
    terms = Cifar.terms
    citation = f"{Cifar.citation} The grouping: Feng & Patras, MaskCon, CVPR 2023."
    disk = "170 MB packed, 148 MB prepared"

    def __init__(self, grouping: Literal["good", "bad"], about: str) -> None:
        self.name = f"cifartoy-{grouping}"
        self.about = f"{about}\nReads the files of cifar10."
        self._rows = [row for row in read_table("cifartoy") if row["split"] == grouping]

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return CIFAR-10 without the classes that are left out, in the order of its files."""
        original = cifar10.SOURCE.read(request, config)
        splits = {split: self._select(data) for split, data in original.splits.items()}
        for split, data in splits.items():
            expected = cifar10.SOURCE.files.counts[split] * len(self._rows) // 10
            if len(data.images) != expected:
                raise InputError(
                    self.name,
                    f"{len(data.images)} {split} images instead of {expected}, not the published CIFAR-10",
                    AGAIN,
                )
        names = original.levels["fine"]
        levels = {
            "coarse": class_names(self._rows),
            "fine": [names[int(row["cifar10_class"])] for row in self._rows],
        }
        return SourceData(self.name, original.size, levels, splits, original.notes)

    def _select(self, data: SplitData) -> SplitData:
        new_id = np.full(10, -1)
        new_id[[int(row["cifar10_class"]) for row in self._rows]] = np.arange(len(self._rows))
        fine = new_id[data.labels["fine"]]
        kept = np.flatnonzero(fine >= 0)
        coarse = np.array([int(row["coarse"]) for row in self._rows])
        assert isinstance(data.images, np.ndarray)
        names = data.names and [data.names[i] for i in kept]
        return SplitData({"coarse": coarse[fine[kept]], "fine": fine[kept]}, data.images[kept], names)


GOOD = CifarToy(
    "good", "Eight classes of CIFAR-10 (fine) in two groups of similar classes (coarse): vehicles and animals."
)
BAD = CifarToy("bad", "Eight classes of CIFAR-10 (fine) in two groups that each mix vehicles and animals (coarse).")
