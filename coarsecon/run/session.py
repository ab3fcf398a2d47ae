"""A run in use: features, labels and metrics of a split, and the nearest images of files from anywhere."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from coarsecon.config import Checkpoint, FeatureLayer
from coarsecon.data.formats.find import find_images
from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.data.prepared.store import PreparedDataset, open_dataset
from coarsecon.data.prepared.unlabeled import LEFT_OUT, unlabeled_note
from coarsecon.errors import InputError
from coarsecon.pictures.rows import GalleryRow, Picture
from coarsecon.run.features import FeatureStore
from coarsecon.run.folder import RunFolder, no_dataset
from coarsecon.run.image_files import files_fingerprint
from coarsecon.run.overlap import training_overlap
from coarsecon.run.provenance import computed_from, store_entry
from coarsecon.run.results import COMPUTED_FROM, word
from coarsecon.run.training_images import trained_images
from coarsecon.runtime.device import choose_device
from coarsecon.runtime.distributed import Distributed
from coarsecon.runtime.files import atomic_write
from coarsecon.runtime.progress import Reporter
from coarsecon.search.collection import (
    Collection,
    files_collection,
    gallery_rows,
    indexed,
    labeled_files,
    sample_queries,
    split_collection,
)
from coarsecon.search.exact import nearest
from coarsecon.search.identity import ImageRef, PreparedImages, SameFiles
from coarsecon.search.index import Neighbors, SearchIndex, index_recall


@dataclass(frozen=True)
class Gallery:
    """What is searched: images of a split called `name`, or the image `files` of a folder called so."""

    name: str
    images: Collection
    files: Sequence[Path] | None = None


@dataclass(frozen=True)
class Found:
    """What a search gave: a row per query, and how many true neighbours the index finds (None: all)."""

    rows: list[GalleryRow]
    index_recall: float | None


class Session:
    """A run's encoder and the dataset it is asked about; opens what it needs when it is needed."""

    def __init__(
        self,
        run: RunFolder,
        data: Path | None,
        *,
        which: Checkpoint,
        layer: FeatureLayer = "backbone",
        flip: bool = False,
        device: str,
        workers: int,
        reporter: Reporter,
        comm: Distributed | None = None,
    ) -> None:
        self.run, self.which, self.workers, self.reporter = run, which, workers, reporter
        self.device = choose_device(device)
        self.store = FeatureStore(
            run, which, layer=layer, flip=flip, device=self.device, workers=workers, reporter=reporter, comm=comm
        )
        self._data = data
        self._parts: dict[tuple[Path, str], SplitRef] = {}

    @cached_property
    def dataset(self) -> PreparedDataset:
        """The dataset that was named, or else the run's; opened when it is first used.

        Raises:
            InputError: it is not there, or not a prepared dataset.
        """
        path = self._data or self.run.config().data.path
        if path is None or not path.exists():
            raise no_dataset(path, self.run.root)
        return open_dataset(path)

    def find_dataset(self) -> PreparedDataset | None:
        """The dataset, for what can do without; None where the run's is not there or cannot be read.

        Raises:
            InputError: a dataset was named and cannot be used.
        """
        try:
            return self.dataset
        except InputError:
            if self._data is not None:
                raise
            return None

    @cached_property
    def _prepared_images(self) -> PreparedImages:
        return PreparedImages(self.dataset)

    def prepared_images(self, file: Path, split: str) -> set[int]:
        """The numbers of the images of a split that have the content of an image file."""
        return {place.number for place in self._prepared_images.places(file) if place.split == split}

    def collection(self, split: str) -> Collection:
        """A split of the dataset with its features."""
        features = self.features(split)
        mark = self.store.mark(self.dataset.info.splits[split].checksum)
        return split_collection(self.dataset, split, features, mark)

    def features(self, split: str) -> Tensor:
        """The features [N, D] of a split, on the CPU."""
        features = self.store.split(self.dataset, split)
        self.use(SplitRef(self.dataset, split))
        return features

    def use(self, *parts: SplitRef) -> None:
        """Note that these splits were used, for `origin`."""
        self._parts |= {(part.dataset.root, part.split): part for part in parts}

    def origin(self, *, second: FeatureStore | None = None, heads: bool = False) -> dict[str, Any]:
        """What was used so far, for results and figures: the encoder, its heads, a second run's, and the splits."""
        encoders = [store_entry(self.store, heads=heads)]
        if second is not None:
            encoders.append(store_entry(second, place=str(second.run.root.resolve())))
        return computed_from(encoders, self._parts.values())

    def usual_split(self) -> str:
        """The split that is looked at where none is named: test, else val, else train."""
        return next(name for name in ("test", "val", "train") if name in self.dataset.splits)

    def picture(self, split: str, index: int) -> Picture:
        """One image of a split with its name and classes, as reports show it."""
        images = self.dataset.split(split)
        self.use(SplitRef(self.dataset, split))
        names = {level: classes[label] for level, classes in self.dataset.info.levels.items()
                 if (label := int(images.labels[level][index])) >= 0}  # fmt: skip
        return Picture(images.image(index), images.names[index], names.get("coarse"), names.get("fine"))

    def held_out(self) -> str:
        """The split that classifiers are measured on.

        Raises:
            InputError: there is none but the one they learn from.
        """
        for name in ("test", "val"):
            if name in self.dataset.splits:
                return name
        raise InputError(f"{self.dataset.root}: no test or val split to measure on; prepare the dataset with one")

    def tell_if_learned(self, split: str) -> None:
        """Say one line where the run learned from this split, so that what is told of it is not told of new images."""
        if split == "train" and self._own_data():
            self.reporter.info(
                f"the run learned from {split}: this says how well its training images are told apart; for an honest "
                "number prepare photos in train/ and test/ folders, or name another split (--split)"
            )

    def _own_data(self) -> bool:
        """Whether the dataset is the one that the run learned from."""
        own = self.run.config().data.path
        return own is not None and own.resolve() == self.dataset.root.resolve()

    def _training_images(self, split: str) -> int | None:
        """How many images of a split the run was trained on, reported where there are any; None where unknown.

        The other splits of the run's own dataset are taken as held out: `data check` finds what leaks between them.
        """
        part, own = SplitRef(self.dataset, split), self.run.trained_on()
        if self._own_data() and own in (None, self.dataset.info.splits["train"].checksum):
            return len(trained_images(self.run, part)) if split == "train" else 0
        count = len(self.dataset.split(split))
        try:
            found = training_overlap(self.run, part, workers=self.workers, reporter=self.reporter)
        except InputError as error:
            self.reporter.info(
                f"Warning: cannot check whether the run was trained on {split} of {self.dataset.root}: {error}"
            )
            return None
        if found:
            self.reporter.info(
                f"Warning: the run was trained on {found:,} of the {count:,} images of {split} of {self.dataset.root}; "
                "the result is no estimate for new images."
            )
        return found

    def labels(self, *splits: str) -> dict[str, list[Tensor]]:
        """The labels of each split, for every level that is known in all of them, fine first.

        Raises:
            InputError: there is no such level.
        """
        columns = [self.dataset.split(split).labels for split in splits]
        self.use(*(SplitRef(self.dataset, split) for split in splits))
        levels = sorted(columns[0], key=lambda level: (level != "fine", level != "coarse", level))
        known = {level: [labels[level] for labels in columns] for level in levels}
        known = {level: found for level, found in known.items() if all((labels >= 0).any() for labels in found)}
        if not known:
            raise InputError(f"{self.dataset.root}: no level of labels is known in {' and '.join(splits)}")
        return known

    def tell_unlabeled(self, *splits: str, levels: Iterable[str] | None = None, consequence: str = LEFT_OUT) -> None:
        """Report how many images of the splits have no label, a line for each of `levels` (default: every level)."""
        for level in self.dataset.info.levels if levels is None else levels:
            columns = {split: self.dataset.split(split).labels[level] for split in dict.fromkeys(splits)}
            if note := unlabeled_note(level, columns, consequence):
                self.reporter.info(note)

    def save_result(
        self,
        name: str,
        split: str,
        values: dict[str, Any],
        *,
        usual: str | None = None,
        options: Mapping[str, Any] | None = None,
        second: FeatureStore | None = None,
    ) -> Path:
        """Write `values`, and what they were computed on, among the run's results; returns the file's path.

        Kept with them are the fingerprints of the encoder, of a `second` run's where it was used, and of the splits,
        and how many images of the split the run was trained on, which is also reported.

        The file is called NAME.json for what is usual. Features of another encoder, layer or side than usual, another
        split (than `usual`, or else `usual_split`) or dataset, and the `options` that are not the command's defaults
        stand in its name, so that results of different settings live beside each other, and those of the same settings
        in two runs are called the same.
        """
        store = self.store
        unusual: list[str] = [store.which] * (store.which != "last")
        unusual += [store.layer] * (store.layer != "backbone")
        unusual += ["flip"] * store.flip + [split] * (split != (usual or self.usual_split()))
        if not self._own_data():
            unusual.append(word(f"data={self.dataset.root.resolve()}"))
        unusual += [word(f"{option}={value}") for option, value in (options or {}).items()]
        path = self.run.results / f"{'-'.join([name, *unusual])}.json"
        self.use(SplitRef(self.dataset, split))
        overlap = self._training_images(split)
        record = {
            "split": split, "encoder": store.which, "layer": store.layer, "flip": store.flip,
            "data": str(self.dataset.root), **({"training_images": overlap} if overlap else {}), **values,
            COMPUTED_FROM: self.origin(second=second),
        }  # fmt: skip
        self.run.store(path, lambda place: atomic_write(place, json.dumps(record, indent=2)), self.reporter)
        return path

    def examples(self, split: str, count: int, top_k: int) -> list[GalleryRow]:
        """Some queries of a split with their neighbours in it, themselves left out."""
        collection = self.collection(split)
        chosen = sample_queries(len(collection.items), count)
        hits = Neighbors(*nearest(collection.features[chosen], collection.features, top_k, exclude=chosen))
        pictures = [collection.picture(query) for query in chosen.tolist()]
        return gallery_rows(pictures, collection, hits, top_k, [{query} for query in chosen.tolist()])

    def gallery(self, split: str | None, folder: Path | None = None) -> Gallery:
        """A split (default train), or a folder of images, to search in."""
        if folder is None:
            name = split or "train"
            return Gallery(name, self.collection(name))
        name = folder.resolve().name
        files, features = self.store.readable_files(find_images([folder], self.reporter), name=name)
        mark = self.store.mark(files_fingerprint(files))
        return Gallery(name, files_collection(files, features, mark), files)

    def search(self, files: Sequence[Path], gallery: Gallery, *, top_k: int, factory: str) -> Found:
        """The `top_k` nearest images of every file that can be read.

        Images with the content of the query are left out: it is not its own neighbor, whatever it is called.

        Raises:
            InputError: none of the files can be read.
        """
        files, features = self.store.readable_files(files)
        places: list[list[ImageRef]] = [[] for _ in files]
        asked, dataset = files_collection(files, features), self.find_dataset()
        if dataset is not None:
            places = [self._prepared_images.places(file) for file in files]
            asked = labeled_files(files, places, dataset, features)
        own = [{place.number for place in found if place.split == gallery.name} for found in places]
        if gallery.files is not None:
            same = SameFiles(gallery.files)
            own = [set(same.equal(file.read_bytes())) for file in files]
        index = self.index(gallery.images, gallery.name, factory)
        hits = index.query(asked.features, top_k + max(map(len, own)))
        pictures = [asked.picture(query) for query in range(len(files))]
        recall = None if index.exact else index_recall(index, gallery.images.features, top_k)
        return Found(gallery_rows(pictures, gallery.images, hits, top_k, own), recall)

    def index(self, images: Collection, name: str, factory: str) -> SearchIndex:
        """The index of images, kept in the run's folder of that name and only computed where it is not there."""
        folder = self.run.index / name

        def save(index: SearchIndex) -> None:
            self.run.store(folder, index.save, self.reporter)

        return indexed(images, folder if self.run.owns(folder) else None, factory, save=save)
