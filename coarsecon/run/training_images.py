"""Training images of a run: those of its training split with a label if needed, within data.limit."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from coarsecon import registry
from coarsecon.config import RunConfig
from coarsecon.data.prepare.split import hold_out
from coarsecon.data.prepare.splitting import finest_labels
from coarsecon.data.prepared.duplicates import duplicates
from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.data.prepared.store import Split, open_dataset
from coarsecon.data.prepared.subset import draw_evenly
from coarsecon.errors import CoarseconError, InputError
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.seeds import SUBSET, VALIDATION, derived_seed


def training_images(split: Split, config: RunConfig, *, needs_labels: bool) -> Split:
    """Select the training images of a split: not held out, with a label if needed, and within data.limit.

    Empty if no image has a label.
    """
    if config.data.validation:
        in_training = torch.ones(len(split), dtype=torch.bool)
        in_training[_held_out(split, config)] = False
        split = split.take(in_training.nonzero().flatten())
    known, limit = split.labels[config.data.labels] >= 0, config.data.limit
    if needs_labels and not known.all():
        split = split.take(known.nonzero().flatten())
    if limit is None or not len(split):
        return split
    if config.data.limit_draw == "first" or limit >= len(split):
        return split.subset(limit)
    seed = derived_seed(config.run.seed, SUBSET)
    return split.take(draw_evenly(split.labels[config.data.labels], limit, seed))


def validation_images(split: Split, config: RunConfig) -> Split:
    """Return the images that data.validation holds out of a training split for monitoring."""
    return split.take(_held_out(split, config))


def _held_out(split: Split, config: RunConfig) -> Tensor:
    """Return the indices of the held-out images: stratified by the finest known label.

    Images of one group are in one part, and so are exact duplicates.
    """
    columns = {level: column.numpy() for level, column in split.labels.items()}
    _, strata = finest_labels(columns, ("fine", config.data.labels))
    groups: list[Sequence[Hashable]] = [split.groups] if split.groups else []
    repeated = duplicates(split)
    if any(value is not None for value in repeated):
        groups.append(repeated)
    seed = derived_seed(config.run.seed, VALIDATION)
    return torch.from_numpy(hold_out(strata, config.data.validation, groups=groups, seed=seed))


def trained_images(run: RunFolder, part: SplitRef) -> Split:
    """Return the training images of a run.

    Raises:
        InputError: The split does not have the labels that the run was trained on.
    """
    level = run.config().data.labels
    dataset = part.dataset.with_levels(level)
    if level not in dataset.info.levels:
        raise InputError(dataset.root, f"has no {level!r} labels, which {run.root} was trained on")
    return training_images(dataset.split(part.split), run.config(), needs_labels=needs_labels(run))


def needs_labels(run: RunFolder) -> bool:
    """Return whether the run's method leaves out images without a label; False if the method is not installed."""
    try:
        return bool(registry.load(registry.METHODS, run.config().method["name"]).needs_labels)
    except (CoarseconError, AttributeError):
        return False


def training_part(run: RunFolder) -> SplitRef:
    """Return the training split of a run.

    Raises:
        InputError: Its dataset is missing or was replaced by another one.
    """
    path = run.config().data.path
    if path is None:
        raise InputError(run.root, "names no dataset")
    dataset = open_dataset(path)
    if run.trained_on() not in (None, dataset.info.splits["train"].checksum):
        raise InputError(path, f"is not the dataset that {run.root} was trained on")
    return SplitRef(dataset, "train")
