"""Errors for parts of a run that are missing."""

from pathlib import Path

from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder


class UnfinishedRunError(InputError):
    """A run without an encoder so far, whose training can be resumed."""

    root: Path
    """The run's folder."""


def no_dataset(path: Path | str | None, run: Path) -> InputError:
    """Return the error for a run whose dataset is missing."""
    if path is None:
        return InputError(run, "names no dataset", "set data.path")
    return InputError(path, f"the dataset of {run} no longer exists", "set data.path to its present folder")


def no_encoder(path: Path) -> InputError:
    """Return the error for a missing encoder: why a run has none yet, or no best one, and what to do."""
    run = RunFolder(path.parent)
    if run.is_combined:
        return InputError(run.root, "combines encoders that were chosen before", "use the checkpoint last")
    if path.with_suffix("") == run.encoder("initial").with_suffix("") and run.encoder().exists():
        return InputError(
            path,
            f"{run.root} has no initial encoder, because {_why_no_initial(run)}",
            "use the checkpoint last",
        )
    if path.with_suffix("") == run.encoder("best").with_suffix("") and run.encoder().exists():
        return InputError(
            path, f"{run.root} has no best encoder, because {_why_no_best(run)}", "use the checkpoint last"
        )
    question = "has the run finished its first epoch?"
    if not run.config_file.is_file() or run.encoder().exists():
        return InputError(path, "no encoder here", question)
    error = UnfinishedRunError(path, "no encoder here", f"{question} Resume its training")
    error.root = run.root
    return error


def _why_no_initial(run: RunFolder) -> str:
    if not run.checkpoint("last").exists():
        return "it was imported, or copied without it"
    try:
        backbone = run.config().backbone
    except InputError:
        return "none was kept"
    if backbone.starts_from_weights:
        return "an earlier version trained it"
    return "it started from random weights"


def _why_no_best(run: RunFolder) -> str:
    if not run.checkpoint("last").exists():
        return "it was imported, or copied without it"
    try:
        every = run.config().run.monitor_every
    except InputError:
        return "no epoch was monitored"
    if not every:
        return "it was trained without monitoring (run.monitor_every=0)"
    return f"no epoch has been monitored yet (run.monitor_every={every})"
