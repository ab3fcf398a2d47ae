"""Commands that torchrun starts on several ranks: what these do together, and which of them speaks."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from coarsecon.cli.console import ConsoleReporter
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder, last_epoch
from coarsecon.runtime.progress import Reporter

if TYPE_CHECKING:
    from coarsecon.config import Checkpoint, FeatureLayer
    from coarsecon.run.facade import Run


@contextmanager
def shared_session(
    opened: RunFolder,
    data: Path | None,
    *,
    which: "Checkpoint",
    layer: "FeatureLayer" = "backbone",
    flip: bool = False,
    device: str,
    workers: int,
) -> "Iterator[Run]":
    """A session with these settings of `Run`; its features, in the block, are extracted by all ranks together.

    All ranks pass the block alike, and after it the first goes on alone, while the others end.
    """
    from coarsecon.run.facade import Run
    from coarsecon.run.spec import FeatureSpec, Runtime
    from coarsecon.runtime.distributed import connected

    with connected() as comm:
        runtime = Runtime(device, workers, Reporter() if comm.rank else ConsoleReporter(), comm)
        session = Run(opened, data, features=FeatureSpec(which, layer, flip), runtime=runtime)
        _tell_if_unfinished(opened, session.reporter)
        yield session
    if comm.rank:
        raise typer.Exit
    session.continue_on_first_rank()


@contextmanager
def shared_run(folder: RunFolder, options: Mapping[str, Any]) -> "Iterator[Run]":
    """A run with the common options of evaluations, which all ranks that torchrun started evaluate together.

    After the block the first rank goes on without the others, which end.
    """
    from coarsecon.run.facade import Run
    from coarsecon.run.spec import FeatureSpec, Runtime
    from coarsecon.runtime.distributed import connected

    checkpoint = options.get("checkpoint", "last")
    if options.get("encoder") is not None:
        warnings.warn("--encoder is now called --checkpoint", FutureWarning, stacklevel=2)
        checkpoint = options["encoder"]
    spec = FeatureSpec(checkpoint, options.get("layer") or "backbone", options.get("flip", False))
    with connected() as distributed:
        reporter = Reporter() if distributed.rank else ConsoleReporter()
        runtime = Runtime(options["device"], options["workers"], reporter, distributed)
        run = Run(folder, options["data"], features=spec, runtime=runtime)
        _tell_if_unfinished(folder, reporter)
        yield run
    if distributed.rank:
        raise typer.Exit


def _tell_if_unfinished(run: RunFolder, reporter: Reporter) -> None:
    """Say one line where the run was stopped, so that its numbers are not taken for those of its settings."""
    if not run.checkpoint("last").exists():  # imported, or cleaned up
        return
    try:
        done, planned = last_epoch(run.metrics()), run.config().schedule.epochs
    except InputError as error:  # the log is not needed to evaluate the run
        reporter.info(f"WARNING: {error}")
        return
    if done < planned:
        resume = f"coarsecon pretrain --out {run.root} --resume"
        reporter.info(f"{run.root} is at epoch {done} of {planned}, not finished; to go on: {resume}")
