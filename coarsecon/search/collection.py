"""Searchable collections: features, names and labels of images, and access to their pixels."""

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
        """Return image `index` with its name and classes for display."""
        name, coarse, fine = (
            self.items.names[index],
            self.items.label("coarse", index),
            self.items.label("fine", index),
        )
        return Picture(self.pixels(index), name, coarse, fine)


def split_collection(dataset: PreparedDataset, split: str, features: Tensor, fingerprint: str) -> Collection:
    """Make a collection of a prepared split."""
    images = dataset.split(split)
    labels = {level: column.tolist() for level, column in images.labels.items()}
    items = ItemTable(names=images.names, labels=labels, class_names=dict(dataset.info.levels), fingerprint=fingerprint)
    return Collection(features, items, images.image)


def files_collection(files: Sequence[Path], features: Tensor, fingerprint: str = "") -> Collection:
    """Make a collection of image files without labels."""
    return Collection(
        features,
        ItemTable(names=[str(file) for file in files], fingerprint=fingerprint),
        lambda i: decode(files[i]),
    )


def labeled_files(
    files: Sequence[Path], places: Sequence[Sequence[ImageRef]], dataset: PreparedDataset, features: Tensor
) -> Collection:
    """Make a collection of image files, labeled where they are images of `dataset`.

    Args:
        places: The prepared images that equal file i, the best match first; see `PreparedImages`.
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
    """Load the index of the collection from `folder` if it is up to date, else build it and pass it to `save`."""
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
    """Return each of Q queries with its `top_k` best `hits` [Q, k] for display.

    Args:
        own: For each query the items that are the same image, which are left out. `hits` must have as many more columns
            than `top_k` as a query has such items.
    """
    rows = []
    for query, scores, indices, same in zip(queries, hits.scores.tolist(), hits.indices.tolist(), own, strict=True):
        found = [(i, score) for i, score in zip(indices, scores, strict=True) if i >= 0 and i not in same][:top_k]
        rows.append(GalleryRow(query, [Neighbor(gallery.picture(item), score) for item, score in found]))
    return rows


def sample_queries(count: int, wanted: int) -> Tensor:
    """Draw `wanted` of `count` queries with a fixed seed; returns sorted indices."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order[:wanted].sort().values
