"""Count the images of a split that a run was trained on, by their pixels (leakage)."""

import io
import json
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from coarsecon.data.prepared.hashes import Hashes, image_hashes
from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.data.prepared.store import PreparedDataset, Split
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.run.parts import part_folders
from coarsecon.run.training_images import needs_labels, trained_images, training_part
from coarsecon.runtime.files import atomic_write
from coarsecon.runtime.progress import Reporter


def training_overlap(run: RunFolder, part: SplitRef, *, workers: int = 2, reporter: Reporter | None = None) -> int:
    """Count the images of a split that the run was trained on, in any dataset.

    The hashes are cached in the run.

    Raises:
        InputError: The training images of the run are not available.
    """
    trained = _training_hashes(run, workers, reporter)
    asked = split_hashes(run, part, workers=workers, reporter=reporter)
    return int(np.isin(asked[asked != 0], trained).sum())


def split_hashes(run: RunFolder, part: SplitRef, *, workers: int = 2, reporter: Reporter | None = None) -> Hashes:
    """Hash the pixels of every image [N] of a split; the hashes are cached in the run."""
    return _hashes(run, part.dataset.split(part.split), [part.checksum], workers, reporter)


def _training_hashes(run: RunFolder, workers: int, reporter: Reporter | None) -> Hashes:
    config, known = run.config(), run.trained_on()
    data = config.data
    settings = [] if data.limit is None else [f"{data.limit} {data.limit_draw} {config.run.seed}"]
    settings += [f"without {data.validation} {config.run.seed}"] * bool(data.validation)
    settings += [f"labeled by {data.labels}"] * needs_labels(run)
    kept = _kept(run, [known, *settings]) if known is not None else None
    if kept is not None:
        return kept
    part = training_part(run)
    return _hashes(run, trained_images(run, part), [part.checksum, *settings], workers, reporter)


def _hashes(run: RunFolder, split: Split, content: list[str], workers: int, reporter: Reporter | None) -> Hashes:
    """Return the hashes of the split with this `content`, cached in the run."""
    kept = _kept(run, content)
    if kept is not None and len(kept) == len(split):
        return kept
    found = image_hashes(split, workers=workers, reporter=reporter)
    stream = io.BytesIO()
    np.save(stream, found)
    write = partial(atomic_write, content=stream.getvalue())
    run.store(_file(run, content), write, reporter or Reporter(), is_listed=False)
    return found


def _kept(run: RunFolder, content: list[str]) -> Hashes | None:
    file = _file(run, content)
    try:
        kept = np.load(file, allow_pickle=False) if run.owns(file) else None
    except (OSError, ValueError, EOFError):
        return None
    is_hashes = isinstance(kept, np.ndarray) and kept.dtype == np.uint64 and kept.ndim == 1
    return kept if is_hashes else None


def _file(run: RunFolder, content: list[str]) -> Path:
    return run.image_hashes / f"{sha256(json.dumps(content).encode()).hexdigest()[:16]}.npy"


def count_training_images(folder: RunFolder, part: SplitRef, *, workers: int, reporter: Reporter) -> int | None:
    """Count the images of a split that the run was trained on, and warn if there are any; None if unknown.

    Other splits of the training dataset count as held out: `data check` finds leakage between them. For a combined run
    the largest number of its encoders is returned.
    """
    if encoders := part_folders(folder):
        counts = [count_training_images(each, part, workers=workers, reporter=reporter) for each in encoders]
        known = [count for count in counts if count is not None]
        return max(known) if len(known) == len(counts) else None
    if folder.is_frozen():
        return 0
    own = folder.trained_on()
    if trained_with(folder, part.dataset) and own in (None, part.dataset.info.splits["train"].checksum):
        return len(trained_images(folder, part)) if part.split == "train" else 0
    where = f"{part.split} of {part.dataset.root}"
    try:
        found = training_overlap(folder, part, workers=workers, reporter=reporter)
    except InputError as error:
        reporter.info(f"Warning: cannot check whether the run was trained on {where}: {error}")
        return None
    if found:
        count = len(part.dataset.split(part.split))
        reporter.info(
            f"Warning: the run was trained on {found:,} of the {count:,} images of {where}; "
            "the result is no estimate for new images."
        )
    return found


def trained_with(folder: RunFolder, dataset: PreparedDataset) -> bool:
    """Return whether a dataset is the one in the settings of the run."""
    own = folder.config().data.path
    return own is not None and own.resolve() == dataset.root.resolve()
