"""Count the images of a split that a run was trained on."""

from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.run.overlap import training_overlap
from coarsecon.run.parts import part_folders
from coarsecon.run.training_images import trained_images
from coarsecon.runtime.progress import Reporter


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
