"""Choose the images on which classifiers are evaluated: a held-out split, or each fold of the training split."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from coarsecon.errors import InputError
from coarsecon.evaluation.base import EvaluationConfig, percent

if TYPE_CHECKING:
    from torch import Tensor

    from coarsecon.run.facade import Run
    from coarsecon.runtime.progress import Reporter

FOLDS = 5


class FoldsConfig(EvaluationConfig):
    """Settings of evaluations that cross-validate a dataset without test and val split."""

    folds: int = Field(FOLDS, ge=2, description="Folds of the cross-validation if there is no test or val split.")


@dataclass(frozen=True)
class HeldOut:
    """The images that a classifier is evaluated on.

    Attributes:
        split: Their split; `train` if it is cross-validated.
        folds: Fold of each image [N] of the cross-validation; None if there is none.
        count: Number of folds.
    """

    split: str
    folds: "Tensor | None" = None
    count: int = 0

    @property
    def title(self) -> str:
        """The images in the titles of tables."""
        return self.split if self.folds is None else f"{self.split} ({self.count}-fold cross-validation)"

    def parts(
        self, level: str, train: "Tensor", test: "Tensor", *, reporter: "Reporter"
    ) -> "Iterator[tuple[Tensor, Tensor]]":
        """Yield the labels to train on and to evaluate; for each fold, with -1 for images that do not take part.

        Args:
            level: Level of the labels, for messages.
            train: Labels [N] of train (-1: unknown).
            test: Labels [M] of the split.
            reporter: Receives the progress over folds, and a message about classes that are in one fold only.

        Raises:
            InputError: A fold has no labeled image.
        """
        if self.folds is None:
            yield train, test
            return
        filled = len(self.folds[test >= 0].unique())
        if filled < self.count:
            problem = f"only {filled} of {self.count} folds have images with a {level} label"
            raise InputError("folds", problem, "use fewer folds, or label more images or groups")
        if lone := self._lone(test):
            about = f"{lone:,} of {int((test >= 0).sum()):,} images are the only ones of their {level} class"
            reporter.info(f"{about}, or in its only group; they count as errors")
        with reporter.progress(f"cross-validating on {level} labels", self.count, "folds") as progress:
            for fold in range(self.count):
                inside = self.folds == fold
                yield train.masked_fill(inside, -1), test.masked_fill(~inside, -1)
                progress.advance()

    def _lone(self, labels: "Tensor") -> int:
        """Return the number of images whose class is in one fold only, so that no classifier is trained on it."""
        import torch

        assert self.folds is not None
        known = labels >= 0
        pairs = torch.stack([labels[known], self.folds[known]]).unique(dim=1)
        classes, counts = pairs[0].unique(return_counts=True)
        return int(torch.isin(labels[known], classes[counts == 1]).sum())


def scored(values: Mapping[str, Any], name: str) -> str:
    """Return a score in percent, with its 95% interval if it is a mean over folds or draws."""
    interval = "ci95" if name == "top1" else f"{name}_ci95"
    return percent(values[name]) + (f" ± {percent(values[interval])}" if interval in values else "")


def held_out(run: "Run", folds: int, seed: int = 0, level: str | None = None) -> HeldOut:
    """Return the split test, else val, else the folds of train, with a message about these.

    With `level`, splits without such labels are passed over if it is a label column.
    """
    split = run.default_split(level)
    if split != "train":
        return HeldOut(split)
    has_others = not {"test", "val"}.isdisjoint(run.dataset.splits)
    missing = f"no {level} labels in other splits" if has_others else "no test or val split"
    note = f"{run.dataset.root}: {missing}, so train is cross-validated in {folds} folds"
    if run.uses_own_dataset:
        note += ". Warning: the encoder was trained on these images, so the result is too good for new ones"
    run.reporter.info(note)
    return HeldOut(split, split_folds(run, split, folds, seed, level), folds)


def split_folds(run: "Run", split: str, folds: int, seed: int = 0, level: str | None = None) -> "Tensor":
    """Return the fold int64 [N] of each image of a split.

    Folds are stratified by `level`, by default the finest label. Images with equal pixels and images of one group have
    the same fold.
    """
    import torch

    from coarsecon.data.prepare.split import assign_folds, shared_values
    from coarsecon.data.prepare.splitting import finest_labels
    from coarsecon.data.prepared.split_ref import SplitRef
    from coarsecon.run.overlap import split_hashes

    images = run.dataset.split(split)
    part = SplitRef(run.dataset, split)
    hashes = split_hashes(run.folder, part, workers=run.runtime.workers, reporter=run.reporter)
    columns = {name: images.labels[name].numpy() for name in run.levels(level)}
    _, strata = finest_labels(columns)
    groups = shared_values(hashes, images.groups)
    return torch.from_numpy(assign_folds(strata, folds, groups=groups, seed=seed))
