"""A collection to search: features, names and labels of images, and a way to see each of them."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from coarsecon.data.formats.images import decode
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.pictures.rows import GalleryRow, Neighbor, Picture, Pixels
from coarsecon.search.identity import ImageRef
from coarsecon.search.index import EXACT, Neighbors, SearchIndex
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


def labeled_files(
    files: Sequence[Path], places: Sequence[Sequence[ImageRef]], dataset: PreparedDataset, features: Tensor
) -> Collection:
    """Image files as a collection, with the labels of the images of `dataset` that they are.

    `places[i]` are the prepared images that equal file i, the best match first; see `PreparedImages`.
    """
    labels = {
        level: [int(dataset.split(own[0].split).labels[level][own[0].number]) if own else -1 for own in places]
        for level in dataset.info.levels
    }
    items = ItemTable(names=[str(file) for file in files], labels=labels, class_names=dict(dataset.info.levels))
    return Collection(features, items, lambda i: decode(files[i]))


def indexed(
    collection: Collection, folder: Path | None, factory: str = EXACT, *, save: Callable[[SearchIndex], object]
) -> SearchIndex:
    """The collection's index: the one in `folder` if it is still that, else a new one, which is handed to `save`."""
    try:
        index = SearchIndex.load(folder) if folder is not None else None
        if index is not None and index.factory == factory and index.items == collection.items:
            return index
    except InputError:
        pass
    index = SearchIndex.build(collection.features, collection.items, factory)
    save(index)
    return index


def gallery_rows(
    queries: Sequence[Picture], gallery: Collection, hits: Neighbors, top_k: int, own: Sequence[Container[int]]
) -> list[GalleryRow]:
    """Each of Q queries with its `top_k` best among `hits` [Q, k], as reports show them.

    `own[i]` holds the items that are the same image as query i, which are left out. Ask for as many hits more than
    `top_k` as there are such items of one query.
    """
    rows = []
    for query, scores, indices, same in zip(queries, hits.scores.tolist(), hits.indices.tolist(), own, strict=True):
        found = [(i, score) for i, score in zip(indices, scores, strict=True) if i >= 0 and i not in same][:top_k]
        rows.append(GalleryRow(query, [Neighbor(gallery.picture(item), score) for item, score in found]))
    return rows


def sample_queries(count: int, wanted: int) -> Tensor:
    """A fixed random choice of `wanted` out of `count` queries: indices in order."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order[:wanted].sort().values
