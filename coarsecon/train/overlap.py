"""How many images of a split are among those that a run was trained on, by their pixels."""

import io
import json
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from coarsecon import registry
from coarsecon.data.hashes import Hashes, image_hashes
from coarsecon.data.store import Split, open_dataset
from coarsecon.errors import CoarseconError, InputError
from coarsecon.evaluation.pairing import Part
from coarsecon.files import atomic_write
from coarsecon.reporting import Reporter
from coarsecon.runs import Run
from coarsecon.train.resolve import training_images


def training_overlap(run: Run, part: Part, *, workers: int = 2, reporter: Reporter | None = None) -> int:
    """Count the images of a split that the run was trained on, whatever dataset they are in.

    The hashes are kept in the run, so that they are computed once for each split.

    Raises:
        InputError: the images that the run was trained on are not there to compare with.
    """
    trained = _training_hashes(run, workers, reporter)
    asked = _hashes(run, part.dataset.split(part.split), [part.checksum], workers, reporter)
    return int(np.isin(asked[asked != 0], trained).sum())


def _training_hashes(run: Run, workers: int, reporter: Reporter | None) -> Hashes:
    config, known = run.config(), run.trained_on()
    data = config.data
    settings = [] if data.limit is None else [f"{data.limit} {data.limit_draw} {config.run.seed}"]
    settings += [f"labeled by {data.labels}"] * needs_labels(run)
    kept = _kept(run, [known, *settings]) if known is not None else None
    if kept is not None:
        return kept
    part = training_part(run)
    return _hashes(run, trained_images(run, part), [part.checksum, *settings], workers, reporter)


def trained_images(run: Run, part: Part) -> Split:
    """The images of the run's training split that it was trained on.

    Raises:
        InputError: the split does not have the labels that the run was trained on.
    """
    level = run.config().data.labels
    if level not in part.dataset.info.levels:
        raise InputError(f"{part.dataset.root} has no {level!r} labels, which {run.root} was trained on")
    return training_images(part.dataset.split(part.split), run.config(), needs_labels=needs_labels(run))


def needs_labels(run: Run) -> bool:
    """Whether the run's method leaves out images without a label; no where the method is not installed."""
    try:
        return bool(registry.load(registry.METHODS, run.config().method["name"]).needs_labels)
    except (CoarseconError, AttributeError):
        return False


def training_part(run: Run) -> Part:
    """The split that the run was trained on.

    Raises:
        InputError: its dataset is not there, or another one took its place.
    """
    path = run.config().data.path
    if path is None:
        raise InputError(f"{run.root} names no dataset")
    dataset = open_dataset(path)
    if run.trained_on() not in (None, dataset.info.splits["train"].checksum):
        raise InputError(f"{path}: not the dataset that {run.root} was trained on")
    return Part(dataset, "train")


def _hashes(run: Run, split: Split, content: list[str], workers: int, reporter: Reporter | None) -> Hashes:
    """The hashes of a split that `content` identifies, from the run where it keeps them."""
    kept = _kept(run, content)
    if kept is not None and len(kept) == len(split):
        return kept
    found = image_hashes(split, workers=workers, reporter=reporter)
    stream = io.BytesIO()
    np.save(stream, found)
    write = partial(atomic_write, content=stream.getvalue())
    run.store(_file(run, content), write, reporter or Reporter(), is_listed=False)
    return found


def _kept(run: Run, content: list[str]) -> Hashes | None:
    file = _file(run, content)
    try:
        kept = np.load(file, allow_pickle=False) if run.owns(file) else None
    except (OSError, ValueError, EOFError):
        return None
    is_hashes = isinstance(kept, np.ndarray) and kept.dtype == np.uint64 and kept.ndim == 1
    return kept if is_hashes else None


def _file(run: Run, content: list[str]) -> Path:
    return run.image_hashes / f"{sha256(json.dumps(content).encode()).hexdigest()[:16]}.npy"
