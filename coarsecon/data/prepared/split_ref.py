"""Refer to a split of a prepared dataset, with the checksum of its content."""

from typing import NamedTuple

from coarsecon.data.prepared.store import PreparedDataset


class SplitRef(NamedTuple):
    """A split of a prepared dataset."""

    dataset: PreparedDataset
    split: str

    @property
    def checksum(self) -> str:
        """Checksum of its images and labels; if two are equal, item i is the same image."""
        return self.dataset.info.splits[self.split].checksum

    @property
    def title(self) -> str:
        """Name of the split in messages."""
        return f"{self.dataset.root}, {self.split}"
