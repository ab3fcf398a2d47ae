"""A run in use: features, labels and metrics of a split, and the nearest images of files from anywhere."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from coarsecon.comm import Comm
from coarsecon.data.find import find_images
from coarsecon.data.store import open_dataset
from coarsecon.data.unlabeled import LEFT_OUT, unlabeled_note
from coarsecon.device import choose_device
from coarsecon.errors import InputError
from coarsecon.evaluation.features import FeatureStore
from coarsecon.evaluation.image_files import files_fingerprint
from coarsecon.evaluation.pairing import Part, measure_retrieval
from coarsecon.files import atomic_write
from coarsecon.report.rows import GalleryRow, Picture
from coarsecon.reporting import Reporter
from coarsecon.results import word
from coarsecon.runs import Layer, Run, Which, no_dataset
from coarsecon.search.collection import (
    Collection,
    files_collection,
    gallery_rows,
    indexed,
    labelled_files,
    sample_queries,
    split_collection,
)
from coarsecon.search.exact import nearest
from coarsecon.search.identity import PreparedImages, SameFiles
from coarsecon.search.index import Hits, index_recall


@dataclass(frozen=True)
class Gallery:
    """What is searched: images of a split called `name`, or the image `files` of a folder called so."""

    name: str
    images: Collection
    files: Sequence[Path] | None = None


@dataclass(frozen=True)
class Found:
    """What a search gave: a row per query, the index it used, and how many true neighbours that index finds."""

    rows: list[GalleryRow]
    index_folder: Path
    index_recall: float | None


class Session:
    """A run's encoder and the dataset it is asked about; opens what it needs when it is needed."""

    def __init__(
        self,
        run: Run,
        data: Path | None,
        *,
        which: Which,
        layer: Layer = "backbone",
        flip: bool = False,
        device: str,
        workers: int,
        reporter: Reporter,
        comm: Comm | None = None,
    ) -> None:
        self.run, self.which, self.workers, self.reporter = run, which, workers, reporter
        self.device = choose_device(device)
        self.store = FeatureStore(
            run, which, layer=layer, flip=flip, device=self.device, workers=workers, reporter=reporter, comm=comm
        )
        path = data or run.config().data.path
        if path is None or not path.exists():
            raise no_dataset(path, run.root)
        self.dataset = open_dataset(path)

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
        return self.store.split(self.dataset, split)

    def usual_split(self) -> str:
        """The split that is looked at where none is named: test, else val, else train."""
        return next(name for name in ("test", "val", "train") if name in self.dataset.splits)

    def picture(self, split: str, index: int) -> Picture:
        """One image of a split with its name and classes, as reports show it."""
        images = self.dataset.split(split)
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

    def labels(self, *splits: str) -> dict[str, list[Tensor]]:
        """The labels of each split, for every level that is known in all of them, fine first.

        Raises:
            InputError: there is no such level.
        """
        columns = [self.dataset.split(split).labels for split in splits]
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
    ) -> Path:
        """Write `values`, and what they were computed on, among the run's results.

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
        record = {
            "split": split, "encoder": store.which, "layer": store.layer, "flip": store.flip,
            "data": str(self.dataset.root), **values,
        }  # fmt: skip
        atomic_write(path, json.dumps(record, indent=2))
        return path

    def metrics(
        self, split: str | None, *, gallery_split: str | None = None, gallery_data: Path | None = None
    ) -> tuple[dict[str, Any], str, str]:
        """What `measure_retrieval` tells, and the names of the split of queries and of the gallery, for titles.

        The gallery is the split itself unless another split or dataset is named. A line is said of training images.
        """
        queries = Part(self.dataset, split or self.usual_split())
        self.tell_if_learned(queries.split)
        other = self.dataset if gallery_data is None else open_dataset(gallery_data)
        gallery = Part(other, gallery_split or queries.split)
        name = gallery.split if other is self.dataset else f"{other.root.name}-{gallery.split}"
        metrics = measure_retrieval(self.store, queries, gallery)
        self.tell_unlabeled(queries.split, consequence="and are no queries")
        if gallery.checksum != queries.checksum:
            for level, column in gallery.dataset.split(gallery.split).labels.items():
                if note := unlabeled_note(level, {name: column}, "and match no query"):
                    self.reporter.info(note)
        return metrics, queries.split, name

    def examples(self, split: str, count: int, top_k: int) -> list[GalleryRow]:
        """Some queries of a split with their neighbours in it, themselves left out."""
        collection = self.collection(split)
        chosen = sample_queries(len(collection.items), count)
        hits = Hits(*nearest(collection.features[chosen], collection.features, top_k, exclude=chosen))
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
        places = [self._prepared_images.places(file) for file in files]
        asked = labelled_files(files, places, self.dataset, features)
        own = [{place.number for place in found if place.split == gallery.name} for found in places]
        if gallery.files is not None:
            same = SameFiles(gallery.files)
            own = [set(same.equal(file.read_bytes())) for file in files]
        folder = self.run.index / gallery.name
        index = indexed(gallery.images, folder, factory)
        hits = index.query(asked.features, top_k + max(map(len, own)))
        pictures = [asked.picture(query) for query in range(len(files))]
        recall = None if index.exact else index_recall(index, gallery.images.features, top_k)
        return Found(gallery_rows(pictures, gallery.images, hits, top_k, own), folder, recall)
