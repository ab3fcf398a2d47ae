"""Classify images by the labeled images of a run's dataset, without training; a new class needs labels only."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coarsecon.data.formats.find import find_images
from coarsecon.data.prepare.split import assign_folds
from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.errors import InputError
from coarsecon.metrics.heads import similar_groups
from coarsecon.metrics.labeled import Calibrated, LabeledFeatures, Predicted
from coarsecon.run.facade import Run

FOLDS = 10
"""Folds of the cross-validation; the images of a class are left out in 10 sets of similar images."""

ALTERNATIVES = 3
"""Classes that are listed for an image, the most probable first."""


@dataclass(frozen=True)
class Classified:
    """One classified image.

    Attributes:
        path: The image file, or the name of the image in the dataset.
        split: Its split; "" for a file.
        coarse: Its coarse class, None if it is not known.
        label: The most probable class, None if the image is of no known class.
        probability: Probability of the most probable class, if the image is of a known class.
        similarity: Similarity to the nearest class, which decides whether the class is known.
        alternatives: The most probable classes with their probabilities.
    """

    path: str
    split: str
    coarse: str | None
    label: str | None
    probability: float
    similarity: float
    alternatives: list[tuple[str, float]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the image as JSON."""
        listed = [{"label": label, "probability": probability} for label, probability in self.alternatives]
        return {**self.__dict__, "alternatives": listed}


class LabelClassifier:
    """Classifies images by the labeled images of a dataset, with features of a run.

    Args:
        run: The run.
        labels: Label level, such as a label column; by default fine.
        splits: Splits whose labeled images are used; by default all.
        known_rejected: Largest fraction of images of known classes to call unknown. Default: chosen together with the
            fraction of images of new classes that are found.

    Raises:
        InputError: There is no such level or split, or no image has a label.
    """

    def __init__(
        self, run: Run, labels: str = "fine", *, splits: Sequence[str] = (), known_rejected: float | None = None
    ) -> None:
        self.run, self.level, self.known_rejected = run, labels, known_rejected
        run.levels(labels)
        self.splits = list(splits) or list(run.dataset.splits)
        columns = {split: run.dataset.split(split).labels[labels] for split in self.splits}
        self.indices = {split: (column >= 0).nonzero().flatten() for split, column in columns.items()}
        known = torch.cat([columns[split][indices] for split, indices in self.indices.items()])
        if not len(known):
            where = f"{run.dataset.root}, {' and '.join(self.splits)}"
            raise InputError(where, f"no image has a {labels} label", "label some images first")
        numbers, self._labels = known.unique(return_inverse=True)
        self.classes = [run.dataset.info.levels[labels][number] for number in numbers.tolist()]
        self.coarse_classes = [] if labels == "coarse" else run.dataset.info.levels.get("coarse", [])

    @cached_property
    def labeled(self) -> LabeledFeatures:
        """The labeled images."""
        parts = [self.run.features(split)[indices] for split, indices in self.indices.items() if len(indices)]
        self.run.use(*(SplitRef(self.run.dataset, split) for split in self.splits), levels=[self.level])
        coarse = torch.cat([self._coarse(split)[indices] for split, indices in self.indices.items()])
        allowed = torch.zeros(max(1, len(self.coarse_classes)), len(self.classes), dtype=torch.bool)
        placed = coarse >= 0
        allowed[coarse[placed], self._labels[placed]] = True
        allowed[:, ~torch.isin(torch.arange(len(self.classes)), self._labels[placed])] = True
        features = torch.cat(parts)
        return LabeledFeatures(features, self._labels, coarse, self._folds(features), allowed)

    def calibrated(self, *, constrained: bool) -> Calibrated:
        """Return the choices and the expected errors for images with a coarse class, or without; see `Calibrated`."""
        if constrained not in self._calibrated:
            self._calibrated[constrained] = self.labeled.calibrate(
                constrained=constrained, known_rejected=self.known_rejected, reporter=self.run.reporter
            )
        return self._calibrated[constrained]

    @cached_property
    def _calibrated(self) -> dict[bool, Calibrated]:
        return {}

    def files(
        self, images: Sequence[Path], *, coarse: str | None = None, from_folder: bool = False
    ) -> list[Classified]:
        """Classify image files, and those in and below folders; files in folders that cannot be read are skipped.

        Args:
            images: Files and folders.
            coarse: Coarse class of all images.
            from_folder: The folder of an image has the name of its coarse class.

        Raises:
            InputError: A file is missing, there is no such coarse class, or no image can be read.
        """
        files, features = self.run.store.readable_files(find_images(images, self.run.reporter))
        names = [file.parent.name if from_folder else coarse for file in files]
        numbers = torch.tensor([self._coarse_number(name, strict=not from_folder) for name in names])
        return self._classify([str(file) for file in files], [""] * len(files), features, numbers)

    def unlabeled(self, split: str, *, limit: int | None = None) -> list[Classified]:
        """Classify the images of a split that have no label; their coarse classes are those of the dataset."""
        images = self.run.dataset.split(split)
        indices = (images.labels[self.level] < 0).nonzero().flatten()[:limit]
        names = [images.names[index] for index in indices.tolist()]
        features = self.run.features(split)[indices]
        return self._classify(names, [split] * len(names), features, self._coarse(split)[indices])

    def predict(self, features: Tensor, coarse: Tensor | None = None) -> Predicted:
        """Classify L2-normalized features [Q, D] of the run, with coarse classes [Q] (-1: unknown) if given."""
        coarse = torch.full((len(features),), -1) if coarse is None else coarse
        count = len(features)
        found = Predicted(
            torch.zeros(count, dtype=torch.int64), torch.zeros(count), torch.zeros(count),
            torch.zeros(count, dtype=torch.bool), torch.zeros(count, len(self.classes)),
        )  # fmt: skip
        for constrained in (False, True):
            rows = ((coarse >= 0) == constrained).nonzero().flatten()
            if len(rows):
                part = self.labeled.predict(self.calibrated(constrained=constrained), features[rows], coarse[rows])
                for whole, piece in zip(found, part, strict=True):
                    whole[rows] = piece
        return found

    def _classify(self, names: list[str], splits: list[str], features: Tensor, coarse: Tensor) -> list[Classified]:
        found = self.predict(features, coarse)
        best = found.probabilities.topk(min(ALTERNATIVES, len(self.classes)), dim=1)
        classified = []
        for row, (name, split) in enumerate(zip(names, splits, strict=True)):
            listed = [
                (self.classes[label], round(probability, 4))
                for label, probability in zip(best.indices[row].tolist(), best.values[row].tolist(), strict=True)
                if probability > 0
            ]
            number, similarity = int(coarse[row]), float(found.similarity[row])
            classified.append(Classified(
                name, split, self.coarse_classes[number] if number >= 0 else None,
                self.classes[int(found.classes[row])] if found.is_known[row] else None,
                round(float(found.probability[row]), 4), round(max(similarity, -1.0), 4), listed,
            ))  # fmt: skip
        return classified

    def _coarse(self, split: str) -> Tensor:
        labels = self.run.dataset.split(split).labels
        own = labels.get("coarse") if self.coarse_classes else None
        return torch.full((len(self.run.dataset.split(split)),), -1) if own is None else own

    def _coarse_number(self, name: str | None, *, strict: bool) -> int:
        if name in self.coarse_classes:
            return self.coarse_classes.index(name)
        if name is None or not strict:
            return -1
        known = ", ".join(self.coarse_classes[:20]) or "none"
        raise InputError("coarse", f"{name!r} is no coarse class of {self.run.dataset.root}", f"it has {known}")

    def _folds(self, features: Tensor) -> Tensor:
        """Return the folds of the labeled images: by class, with similar images and those of a group in one fold."""
        groups: list[str] = []
        for split, indices in self.indices.items():
            own = self.run.dataset.split(split).groups
            groups += [own[index] if own else "" for index in indices.tolist()]
        similar = similar_groups(features, self._labels, FOLDS).tolist()
        return torch.from_numpy(assign_folds(self._labels.numpy(), FOLDS, groups=[groups, similar]))
