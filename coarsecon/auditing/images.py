"""The images of all splits of a dataset as one numbered sequence."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.pictures.rows import Picture

TRAIN, KEPT_FIRST = "train", ("test", "val")
"""Splits whose images are kept if another split has a duplicate, first to last; train comes after all others."""


@dataclass(frozen=True)
class DatasetImages:
    """N images, split after split.

    Attributes:
        dataset: The dataset.
        level: The label level that is checked, or None if there is none.
    """

    dataset: PreparedDataset
    level: str | None

    @classmethod
    def of(cls, dataset: PreparedDataset, level: str | None = None) -> "DatasetImages":
        """Number the images of a dataset; `level` is by default coarse, or else the first level.

        Raises:
            InputError: There is no such level.
        """
        levels = dataset.info.levels
        if level is not None and level not in levels:
            raise InputError("level", f"{dataset.root} has no labels {level!r}", f"choose {' or '.join(levels)}")
        return cls(dataset, level or ("coarse" if "coarse" in levels else next(iter(levels), None)))

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def split_names(self) -> list[str]:
        """Names of the splits."""
        return list(self.dataset.splits)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(len(split) for split in self.dataset.splits.values())])

    @cached_property
    def splits(self) -> NDArray[np.int64]:
        """Number of the split of each image, int64 [N]."""
        return np.repeat(np.arange(len(self.split_names)), np.diff(self._starts))

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """Order in which images are kept if they have duplicates, by their splits, int64 [N]."""
        order = [*KEPT_FIRST, *(name for name in self.split_names if name not in (*KEPT_FIRST, TRAIN)), TRAIN]
        return np.array([order.index(name) for name in self.split_names], np.int64)[self.splits]

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Labels of the level, int64 [N]; -1 is unknown."""
        if self.level is None:
            return np.full(len(self), -1)
        return np.concatenate([split.labels[self.level].numpy() for split in self.dataset.splits.values()])

    @property
    def class_names(self) -> list[str]:
        """Class names of the level."""
        return [] if self.level is None else self.dataset.info.levels[self.level]

    def place(self, image: int) -> tuple[str, int]:
        """Return the split and the number in it of an image."""
        split = int(self.splits[image])
        return self.split_names[split], image - int(self._starts[split])

    def name(self, image: int) -> str:
        """Return the original name of an image, its path in the source."""
        split, number = self.place(image)
        return self.dataset.splits[split].names[number]

    def class_name(self, image: int) -> str | None:
        """Return the name of the class of an image; None if it is unknown."""
        label = int(self.labels[image])
        return self.class_names[label] if label >= 0 else None

    def picture(self, image: int) -> Picture:
        """Return an image for display, with its name and class."""
        split, number = self.place(image)
        return Picture(self.dataset.splits[split].image(number), self.name(image), self.class_name(image))
