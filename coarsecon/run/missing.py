"""Errors for parts of a run that are missing."""

from pathlib import Path

from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder


def no_dataset(path: Path | str | None, run: Path) -> InputError:
    """Return the error for a run whose dataset is missing."""
    if path is None:
        return InputError(run, "names no dataset", "name one (data)")
    return InputError(path, f"the dataset of {run} is not there any more", "name where it is now (data)")


def no_encoder(path: Path) -> InputError:
    """Return the error for a missing encoder: why a run has none yet, or no best one, and what to do."""
    run = RunFolder(path.parent)
    if path.with_suffix("") == run.encoder("best").with_suffix("") and run.encoder().exists():
        return InputError(
            path, f"{run.root} has no best encoder, because {_why_no_best(run)}", "use the checkpoint last"
        )
    can_be_resumed = run.config_file.is_file() and not run.encoder().exists()
    remedy = " Resume its training with `coarsecon pretrain`." * can_be_resumed
    return InputError(path, "no encoder here", f"has the run finished its first epoch?{remedy}")


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
