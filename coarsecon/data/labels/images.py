"""Find images of a prepared dataset by their paths."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from coarsecon.data.formats.names import canonical
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import InputError

ImageKey = str | Path | tuple[str, int] | tuple[str, str]
"""An image: its path as in the dataset, or its split with its index or path."""

Place = tuple[str, int]
"""A split and an index."""


class ImageFinder:
    """Finds the images of a dataset by split and index, or by their original names, with or without the split."""

    def __init__(self, dataset: PreparedDataset) -> None:
        self.dataset = dataset

    def find(self, key: ImageKey) -> Place:
        """Return the split and the index of an image.

        Raises:
            InputError: There is no such image, or several splits have one of this path.
        """
        split, image = key if isinstance(key, tuple) else (None, key)
        if split is not None and split not in self.dataset.splits:
            raise InputError(self.dataset.root, f"no split {split!r}", f"it has {', '.join(self.dataset.splits)}")
        if isinstance(image, int):
            assert split is not None
            if not 0 <= image < len(self.dataset.splits[split]):
                raise InputError(self.dataset.root, f"no image {image} in {split}", "number images from 0")
            return split, image
        places = [place for place in self._places.get(_path(image), ()) if split in (None, place[0])]
        if not places:
            where = f" in {split}" if split else ""
            raise InputError(str(image), f"no such image{where} in {self.dataset.root}", "name it as in the dataset")
        if len(places) > 1:
            splits = ", ".join(dict.fromkeys(name for name, _ in places))
            same = "name the split too" if split is None and "," in splits else "name the split and the index"
            raise InputError(str(image), f"{len(places)} images have this name ({splits})", same)
        return places[0]

    def knows(self, key: tuple[str, str] | str) -> bool:
        """Return whether there is an image, or several, of a path, in a split if one is named."""
        split, image = key if isinstance(key, tuple) else (None, key)
        return any(split in (None, name) for name, _ in self._places.get(_path(image), ()))

    @cached_property
    def _places(self) -> Mapping[str, list[Place]]:
        found: dict[str, list[Place]] = {}
        for name, split in self.dataset.splits.items():
            for index, image in enumerate(split.names):
                found.setdefault(_path(image), []).append((name, index))
        return found


def _path(name: str | Path) -> str:
    """Return the form in which paths are compared: with forward slashes, without a leading `./`, in NFC."""
    return canonical(str(name).replace("\\", "/").removeprefix("./"))
