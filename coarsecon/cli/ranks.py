"""Evaluations that torchrun starts on several ranks: all compute, and the first prints and writes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer

from coarsecon.cli.options import chosen_checkpoint
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.run.log import last_epoch
from coarsecon.runtime.progress import Reporter

if TYPE_CHECKING:
    from coarsecon.run.facade import Run


@contextmanager
def shared_run(folder: RunFolder, options: Mapping[str, Any]) -> "Iterator[Run]":
    """Open a run with the common options of evaluations; all ranks that torchrun started run the block together.

    After the block, or after `Run.continue_on_first_rank` in it, only the first rank continues; the others exit.
    """
    from coarsecon.run.facade import Run
    from coarsecon.run.spec import FeatureSpec, Runtime
    from coarsecon.runtime.distributed import RankFinished, connected

    checkpoint = chosen_checkpoint(options.get("checkpoint", "last"), options.get("encoder"))
    spec = FeatureSpec(checkpoint, options.get("layer") or "backbone", options.get("flip", False))
    with connected() as distributed:
        reporter = Reporter() if distributed.rank else ConsoleReporter()
        runtime = Runtime(options["device"], options["workers"], reporter, distributed)
        run = Run(folder, options["data"], features=spec, runtime=runtime)
        _warn_if_unfinished(folder, reporter)
        with suppress(RankFinished):
            yield run
    if distributed.rank:
        raise typer.Exit


def _warn_if_unfinished(run: RunFolder, reporter: Reporter) -> None:
    """Warn that the training of the run is not finished."""
    if not run.checkpoint("last").exists():  # imported, or cleaned up
        return
    try:
        planned = run.config().schedule.epochs
    except InputError:  # reported by the evaluation, if it needs the settings
        return
    try:
        done = last_epoch(run.metrics())
    except InputError as error:  # the log is not needed to evaluate the run
        reporter.info(f"WARNING: {error}")
        return
    if planned and done < planned:
        resume = f"coarsecon pretrain --out {run.root} --resume"
        reporter.info(f"{run.root} is not finished: at epoch {done} of {planned}; to continue: {resume}")
