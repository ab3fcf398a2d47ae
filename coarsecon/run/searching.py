"""Search the images of a split, or of a folder, for those nearest to image files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from coarsecon.data.formats.find import find_images
from coarsecon.pictures.rows import GalleryRow
from coarsecon.run.facade import Run
from coarsecon.run.image_files import files_fingerprint
from coarsecon.run.tuned import tuned_gallery
from coarsecon.run.tuning import TunedGallery
from coarsecon.search.collection import (
    Collection,
    files_collection,
    gallery_rows,
    indexed,
    labeled_files,
    sample_queries,
)
from coarsecon.search.exact import nearest
from coarsecon.search.identity import ImageRef, SameFiles
from coarsecon.search.index import Neighbors, SearchIndex, index_recall
from coarsecon.search.space import TunedIndex


@dataclass(frozen=True)
class Gallery:
    """Images to search: those of the split `name`, or the image `files` of a folder with that name.

    `tuned` is the same gallery with tuned settings.
    """

    name: str
    images: Collection
    files: Sequence[Path] | None = None
    tuned: TunedGallery | None = None


@dataclass(frozen=True)
class SearchResult:
    """One row per query, and the recall of the index (None if it is exact)."""

    rows: list[GalleryRow]
    index_recall: float | None


def open_gallery(run: Run, split: str | None, folder: Path | None = None) -> Gallery:
    """Return a split (default train), or a folder of images, to search in."""
    if folder is None:
        name = split or "train"
        return Gallery(name, run.collection(name))
    name = folder.resolve().name
    files, features = run.store.readable_files(find_images([folder], run.reporter), name=name)
    mark = run.store.mark(files_fingerprint(files))
    return Gallery(name, files_collection(files, features, mark), files)


def tuned(run: Run, gallery: Gallery) -> Gallery:
    """Return a gallery to search with the settings that were tuned for the run.

    Raises:
        InputError: The run is not tuned, or the settings are stale.
    """
    files = gallery.files
    if files is None:
        found = tuned_gallery(run, lambda store: store.split(run.dataset, gallery.name))
    else:
        found = tuned_gallery(run, lambda store: store.files(files, name=gallery.name))
    return replace(gallery, images=replace(gallery.images, features=found.features), tuned=found)


def search_files(run: Run, files: Sequence[Path], gallery: Gallery, *, top_k: int, factory: str) -> SearchResult:
    """Return the `top_k` nearest images of every file that can be read.

    Images with the content of the query are left out: it is not its own neighbor, whatever it is called.

    Raises:
        InputError: None of the files can be read.
    """
    files, features = run.store.readable_files(files)
    places: list[list[ImageRef]] = [[] for _ in files]
    queries, dataset = files_collection(files, features), run.find_dataset()
    if dataset is not None:
        places = [run.prepared_images.places(file) for file in files]
        queries = labeled_files(files, places, dataset, features)
    own = [{place.number for place in found if place.split == gallery.name} for found in places]
    if gallery.files is not None:
        same = SameFiles(gallery.files)
        own = [set(same.equal(file.read_bytes())) for file in files]
    if gallery.tuned is None:
        index: SearchIndex | TunedIndex = stored_index(run, gallery.images, gallery.name, factory)
    else:
        index, queries = (
            gallery.tuned.index(gallery.images.items),
            replace(queries, features=gallery.tuned.files(files)),
        )
    hits = index.query(queries.features, top_k + max(map(len, own)))
    pictures = [queries.picture(query) for query in range(len(files))]
    recall = (
        None if isinstance(index, TunedIndex) or index.exact else index_recall(index, gallery.images.features, top_k)
    )
    return SearchResult(gallery_rows(pictures, gallery.images, hits, top_k, own), recall)


def example_rows(run: Run, split: str, count: int, top_k: int) -> list[GalleryRow]:
    """Return some queries of a split with their neighbors in it, themselves left out."""
    collection = run.collection(split)
    chosen = sample_queries(len(collection.items), count)
    hits = Neighbors(*nearest(collection.features[chosen], collection.features, top_k, exclude=chosen))
    pictures = [collection.picture(query) for query in chosen.tolist()]
    return gallery_rows(pictures, collection, hits, top_k, [{query} for query in chosen.tolist()])


def stored_index(run: Run, images: Collection, name: str, factory: str) -> SearchIndex:
    """Return the index of images from the run folder; it is built and stored there where it is missing or stale."""
    folder = run.folder.index / name

    def save(index: SearchIndex) -> None:
        run.folder.store(folder, index.save, run.reporter)

    return indexed(images, folder if run.folder.owns(folder) else None, factory, save=save)
