"""CIFARtoy: eight classes of CIFAR-10 in two coarse groups, of like kinds (good) or of unlike ones (bad)."""

from dataclasses import dataclass

import numpy as np

from coarsecon.data.sources import Source, SourceData, SourceRequest, SplitData, cifar10
from coarsecon.data.sources.cifar import AGAIN, CITATION, SIZE, TERMS, URL
from coarsecon.data.sources.labels import read_table
from coarsecon.errors import InputError


@dataclass(frozen=True)
class Grouping:
    """Which classes of CIFAR-10 are kept, in the order of their new fine ids, and their coarse labels."""

    name: str
    classes: tuple[int, ...]
    coarse: tuple[int, ...]
    coarse_names: tuple[str, str]

    def read(self, request: SourceRequest) -> SourceData:
        """CIFAR-10 without the classes that are not kept, in the order of its files."""
        whole = cifar10.read(request)
        splits = {split: self._select(data) for split, data in whole.splits.items()}
        for split, data in splits.items():
            expected = cifar10.FILES.counts[split] * len(self.classes) // 10
            if len(data.images) != expected:
                raise InputError(
                    f"{self.name}: {len(data.images)} {split} images, not {expected}: "
                    f"this is not the published CIFAR-10; {AGAIN}"
                )
        names = whole.levels["fine"]
        levels = {"coarse": list(self.coarse_names), "fine": [names[number] for number in self.classes]}
        return SourceData(self.name, whole.size, levels, splits, whole.notes)

    def _select(self, data: SplitData) -> SplitData:
        new_id = np.full(10, -1)
        new_id[list(self.classes)] = np.arange(len(self.classes))
        fine = new_id[data.labels["fine"]]
        kept = np.flatnonzero(fine >= 0)
        labels = {"coarse": np.array(self.coarse)[fine[kept]], "fine": fine[kept]}
        assert isinstance(data.images, np.ndarray)
        return SplitData(labels, data.images[kept], data.names and [data.names[i] for i in kept])

    def source(self, about: str) -> Source:
        """The source that reads this grouping."""
        return Source(
            name=self.name,
            about=f"{about}\nReads what cifar10 reads.",
            counts={"train": 40_000, "test": 8_000},
            default_size=SIZE,
            read=self.read,
            levels={"coarse": 2, "fine": len(self.classes)},
            url=URL,
            terms=TERMS,
            citation=f"{CITATION} The grouping: Feng & Patras, MaskCon, CVPR 2023.",
            disk="170 MB packed, 148 MB prepared",
        )


def grouping(split: str) -> Grouping:
    """The split `good` or `bad` of the table of coarse labels."""
    rows = [row for row in read_table("cifartoy") if row["split"] == split]
    coarse_names = {int(row["coarse"]): row["coarse_name"] for row in rows}
    return Grouping(
        name=f"cifartoy-{split}",
        classes=tuple(int(row["cifar10_class"]) for row in rows),
        coarse=tuple(int(row["coarse"]) for row in rows),
        coarse_names=(coarse_names[0], coarse_names[1]),
    )


GOOD = grouping("good").source(
    "Eight classes of CIFAR-10 (fine) in two groups of like kinds (coarse): vehicles and animals."
)
BAD = grouping("bad").source(
    "Eight classes of CIFAR-10 (fine) in two groups that each mix vehicles and animals (coarse)."
)
