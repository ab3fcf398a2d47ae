"""Facade of a run, used by the command line, Python, evaluations, exports, and the search page."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
from torch import Tensor

from coarsecon.config import Checkpoint, FeatureLayer
from coarsecon.data.prepared.classes import fine_first
from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.data.prepared.store import PreparedDataset, open_dataset
from coarsecon.data.prepared.unlabeled import LEFT_OUT, unlabeled_note
from coarsecon.errors import InputError
from coarsecon.pictures.rows import Picture
from coarsecon.run.combined import open_store
from coarsecon.run.embedding import Images, embed_images
from coarsecon.run.estimator import Estimator
from coarsecon.run.features import FeatureStore
from coarsecon.run.folder import RunFolder, open_run
from coarsecon.run.missing import no_dataset
from coarsecon.run.neighbors import Neighbors, search_split
from coarsecon.run.overlap import count_training_images, trained_with
from coarsecon.run.provenance import OWN, computed_from, store_entry
from coarsecon.run.spec import FeatureSpec, Runtime
from coarsecon.runtime.distributed import Distributed, RankFinished
from coarsecon.runtime.progress import Reporter
from coarsecon.search.collection import Collection, split_collection
from coarsecon.search.identity import PreparedImages
from coarsecon.search.index import EXACT


class Run(Estimator):
    """A run folder with its encoder and a dataset; everything is opened when it is first needed.

    It is also a transformer in scikit-learn's sense: `transform` is `embed`, and `fit` does nothing.

    Args:
        folder: The run folder.
        data: The prepared dataset to evaluate on and to search in; by default the run's.
        features: The features of the run to use.
        runtime: Device, workers, and progress.

    Raises:
        InputError: There is no run in the folder, or `features` names no checkpoint or layer.
    """

    def __init__(
        self,
        folder: RunFolder | Path | str,
        data: Path | str | None = None,
        *,
        features: FeatureSpec = FeatureSpec(),
        runtime: Runtime = Runtime(),
    ) -> None:
        self.folder = folder if isinstance(folder, RunFolder) else open_run(Path(folder))
        for name, known in (("checkpoint", get_args(Checkpoint)), ("layer", get_args(FeatureLayer))):
            if getattr(features, name) not in known:
                choices = " or ".join(map(repr, known))
                raise InputError(name, f"{getattr(features, name)!r} is not known", f"choose {choices}")
        self.spec, self.runtime = features, runtime
        self._data = None if data is None else Path(data)
        self._used: dict[tuple[Path, str], SplitRef] = {}
        self._columns: set[str] = set()
        self.indexes: dict[tuple[str, str], Any] = {}

    def with_features(self, **changes: Any) -> "Run":
        """Return the same run with other features, for example `run.with_features(layer="projector")`."""
        return Run(self.folder, self._data, features=replace(self.spec, **changes), runtime=self.runtime)

    @property
    def reporter(self) -> Reporter:
        """Receives progress and warnings."""
        return self.runtime.reporter

    @cached_property
    def store(self) -> FeatureStore:
        """The features of images, cached in the run folder."""
        return open_store(self.folder, self.spec, self.runtime)

    @cached_property
    def dataset(self) -> PreparedDataset:
        """The given dataset, or else the run's.

        Raises:
            InputError: It is not there, or not a prepared dataset.
        """
        path = self._data or self.folder.config().data.path
        if path is None or not path.exists():
            raise no_dataset(path, self.folder.root)
        return open_dataset(path)

    def find_dataset(self) -> PreparedDataset | None:
        """Return the dataset, or None where the run's is not there or cannot be read.

        Raises:
            InputError: A dataset was given and cannot be used.
        """
        try:
            return self.dataset
        except InputError:
            if self._data is not None:
                raise
            return None

    @property
    def uses_own_dataset(self) -> bool:
        """True if the dataset is the one that the run was trained on."""
        return trained_with(self.folder, self.dataset)

    def default_split(self, level: str | None = None) -> str:
        """Return the default split: test, else val, else train; for a label column, the first with such labels."""
        names = [name for name in ("test", "val", "train") if name in self.dataset.splits]
        if level is None or level not in self.dataset.columns:
            return names[0]
        labeled = (name for name in names if (self.dataset.splits[name].labels[level] >= 0).any())
        return next(labeled, names[0])

    def features(self, split: str | None = None) -> Tensor:
        """Return the L2-normalized features float32 [N, D] of a split, on the CPU."""
        split = split or self.default_split()
        features = self.store.split(self.dataset, split)
        self.use(SplitRef(self.dataset, split))
        return features

    def labels(self, *splits: str, level: str | None = None) -> dict[str, list[Tensor]]:
        """Return the labels int64 [N] of each split, for every level that is known in all of them, fine first.

        With `level`, only for this one, which may be a label column.

        Raises:
            InputError: There is no such level.
        """
        columns = [self.dataset.split(split).labels for split in splits]
        self.use(*(SplitRef(self.dataset, split) for split in splits), levels=self.levels(level))
        known = {each: [labels[each] for labels in columns] for each in self.levels(level)}
        known = {each: found for each, found in known.items() if all((labels >= 0).any() for labels in found)}
        if not known:
            which = "no level of labels is" if level is None else f"{level} labels are not"
            raise InputError(self.dataset.root, f"{which} known in {' and '.join(dict.fromkeys(splits))}")
        return known

    def levels(self, level: str | None = None) -> list[str]:
        """Return the label levels to evaluate, fine first: `level`, or by default those of the dataset.

        Raises:
            InputError: There is no such level.
        """
        if level is None:
            return fine_first(self.dataset.default_levels)
        if level not in self.dataset.info.levels:
            known = f"it has {', '.join(self.dataset.info.levels)}"
            raise InputError("labels", f"{self.dataset.root} has no {level!r} labels", known)
        return [level]

    def collection(self, split: str) -> Collection:
        """Return a split with its features, to search in."""
        features = self.features(split)
        mark = self.store.mark(self.dataset.info.splits[split].checksum)
        return split_collection(self.dataset, split, features, mark)

    def picture(self, split: str, index: int) -> Picture:
        """Return an image of a split with its name and classes."""
        images = self.dataset.split(split)
        self.use(SplitRef(self.dataset, split))
        names = {level: classes[label] for level, classes in self.dataset.info.levels.items()
                 if (label := int(images.labels[level][index])) >= 0}  # fmt: skip
        return Picture(images.image(index), images.names[index], names.get("coarse"), names.get("fine"))

    @cached_property
    def prepared_images(self) -> PreparedImages:
        """Find the images of the dataset by their content."""
        return PreparedImages(self.dataset)

    @property
    def dim(self) -> int:
        """The width D of the features."""
        return int(self.embed(np.zeros((1, 1, 3), np.uint8)).shape[1])

    def embed(self, images: Images) -> np.ndarray:
        """Return L2-normalized embeddings float32 [N, D] of one image or several, in their order.

        An image is a file, a PIL image, an array uint8 [H, W, 3] or a tensor uint8 [3, H, W]; a folder means all
        images in and below it. Arrays [N, H, W, 3] and tensors [N, 3, H, W] are N images. Sizes may differ.
        Broken files in folders are skipped with a warning.

        Raises:
            InputError: A file is missing or broken, or an image does not have 8 bits per channel.
        """
        return embed_images(self.store, images)[1]

    def use(self, *splits: SplitRef, levels: Iterable[str] = ()) -> None:
        """Record that these splits were used, with these label columns of the dataset, for `origin`."""
        self._used |= {(part.dataset.root, part.split): part for part in splits}
        self._columns |= {level for level in levels if level in self.dataset.columns}

    def origin(self, *others: "Run") -> dict[str, Any]:
        """Return the fingerprints of what was used so far: the encoder, its heads, those of other runs, the splits."""
        encoders = [store_entry(self.store)]
        for other in others:
            root = other.folder.root.resolve()
            place = OWN if root == self.folder.root.resolve() else str(root)
            encoders.append(store_entry(other.store, place=place))
        return computed_from(encoders, self._used.values(), sorted(self._columns))

    def warn_if_trained_on(self, split: str) -> None:
        """Warn if the run was trained on this split."""
        if split == "train" and self.uses_own_dataset and not self.folder.is_frozen():
            self.reporter.info(
                "Warning: evaluating on the training split. Prepare the dataset with a test split for an "
                "unbiased estimate, or name another split."
            )

    def training_images(self, split: str) -> int | None:
        """Count the images of a split that the run was trained on, and warn if there are any; None if unknown.

        Other splits of the training dataset count as held out: `data check` finds leakage between them.
        """
        return count_training_images(
            self.folder, SplitRef(self.dataset, split), workers=self.runtime.workers, reporter=self.reporter
        )

    def continue_on_first_rank(self) -> None:
        """Continue without the other ranks, which have helped to extract features.

        Raises:
            RankFinished: On the other ranks.
        """
        if self.runtime.distributed.rank:
            raise RankFinished
        self.runtime = self.store.runtime = replace(self.runtime, distributed=Distributed())

    def report_unlabeled(self, *splits: str, levels: Iterable[str] | None = None, consequence: str = LEFT_OUT) -> None:
        """Report how many images of the splits have no label, one line per level in `levels` (default: its own)."""
        for level in self.dataset.default_levels if levels is None else levels:
            columns = {split: self.dataset.split(split).labels[level] for split in dict.fromkeys(splits)}
            if note := unlabeled_note(level, columns, consequence):
                self.reporter.info(note)

    def search(
        self, query: Images | Tensor, k: int = 10, *, split: str = "train", index: str = EXACT, tuned: bool = False
    ) -> Neighbors:
        """Return the `k` images of a split nearest to each query.

        Images of the split with the content of a query file are not its neighbors.

        Args:
            query: What `embed` takes, or embeddings float [Q, D].
            k: Number of neighbors.
            split: The split to search in.
            index: A FAISS factory string.
            tuned: Search with the settings that `retrieve` stored when it tuned the run; exact, for images only.

        Raises:
            InputError: As `embed`; there is no such split; `k` is below 1; the run is not tuned.
        """
        return search_split(self, query, k, split, index, tuned)

    def same_images(self, file: Path, split: str) -> set[int]:
        """Return the numbers of the images of a split that have the content of an image file."""
        return {place.number for place in self.prepared_images.places(file) if place.split == split}

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in asdict(self.spec).items())
        return f"Run({str(self.folder.root)!r}, {settings})"

    def _use_features(self, spec: FeatureSpec) -> None:
        self.__dict__.pop("store", None)
        self.__init__(self.folder, self._data, features=spec, runtime=self.runtime)  # type: ignore[misc]
