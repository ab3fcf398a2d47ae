"""A collection to search: features, names and labels of images, and a way to see each of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from coarsecon.data.images import decode
from coarsecon.data.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.report.rows import GalleryRow, Neighbour, Picture, Pixels
from coarsecon.search.index import EXACT, Hits, SearchIndex
from coarsecon.search.items import ItemTable


@dataclass(frozen=True)
class Collection:
    """N images: features [N, D], the table of their names and labels, and `pixels(i)`, uint8 [H, W, 3]."""

    features: Tensor
    items: ItemTable
    pixels: Callable[[int], Pixels]

    def picture(self, index: int) -> Picture:
        """Image `index` with its name and classes, as reports show it."""
        name, coarse, fine = (
            self.items.names[index],
            self.items.label("coarse", index),
            self.items.label("fine", index),
        )
        return Picture(self.pixels(index), name, coarse, fine)


def split_collection(dataset: PreparedDataset, split: str, features: Tensor, fingerprint: str) -> Collection:
    """A prepared split as a collection."""
    images = dataset.split(split)
    labels = {level: column.tolist() for level, column in images.labels.items()}
    items = ItemTable(names=images.names, labels=labels, class_names=dict(dataset.info.levels), fingerprint=fingerprint)
    return Collection(features, items, images.image)


def files_collection(files: Sequence[Path], features: Tensor, fingerprint: str = "") -> Collection:
    """Image files without labels as a collection."""
    return Collection(
        features,
        ItemTable(names=[str(file) for file in files], fingerprint=fingerprint),
        lambda i: decode(files[i]),
    )


def originals_among(files: Sequence[Path], dataset: PreparedDataset) -> list[tuple[str, int] | None]:
    """For each file the (split, index) of the image that `dataset` was prepared from it; None where there is none.

    A file is taken for an original when its path ends with what one prepared image was called.
    """
    by_name: dict[str, list[tuple[str, int]]] = {}
    for split in dataset.splits.values():
        for item, name in enumerate(split.names):
            by_name.setdefault(name.rpartition("/")[2], []).append((split.name, item))
    originals: list[tuple[str, int] | None] = []
    for file in files:
        path = file.resolve().as_posix()
        found = [
            (split, item)
            for split, item in by_name.get(file.name, [])
            if path.endswith(f"/{dataset.split(split).names[item]}")
        ]
        originals.append(found[0] if len(found) == 1 else None)
    return originals


def labelled_files(
    files: Sequence[Path], originals: Sequence[tuple[str, int] | None], dataset: PreparedDataset, features: Tensor
) -> Collection:
    """Image files as a collection, with the labels of those that `dataset` was prepared from."""
    labels = {
        level: [-1 if place is None else int(dataset.split(place[0]).labels[level][place[1]]) for place in originals]
        for level in dataset.info.levels
    }
    items = ItemTable(names=[str(file) for file in files], labels=labels, class_names=dict(dataset.info.levels))
    return Collection(features, items, lambda i: decode(files[i]))


def indexed(collection: Collection, folder: Path, factory: str = EXACT) -> SearchIndex:
    """The collection's index: the one saved in `folder` if it is still that, else built and saved there."""
    try:
        index = SearchIndex.load(folder)
        if index.factory == factory and index.items == collection.items:
            return index
    except InputError:
        pass
    index = SearchIndex.build(collection.features, collection.items, factory)
    index.save(folder)
    return index


def gallery_rows(
    queries: Sequence[Picture], gallery: Collection, hits: Hits, top_k: int, own: Sequence[int | None]
) -> list[GalleryRow]:
    """Each of Q queries with its `top_k` best among `hits` [Q, k], as reports show them.

    `own[i]` is the item that query i itself is, which is left out; None where it is none. Ask for one hit more than
    `top_k` where there are such items.
    """
    rows = []
    for query, scores, indices, itself in zip(queries, hits.scores.tolist(), hits.indices.tolist(), own, strict=True):
        found = [pair for pair in zip(indices, scores, strict=True) if pair[0] >= 0 and pair[0] != itself][:top_k]
        rows.append(GalleryRow(query, [Neighbour(gallery.picture(item), score) for item, score in found]))
    return rows


def sample_queries(count: int, wanted: int) -> Tensor:
    """A fixed random choice of `wanted` out of `count` queries: indices in order."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order[:wanted].sort().values
