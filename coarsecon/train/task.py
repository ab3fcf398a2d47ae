"""Interface between the training loop and pre-training, classifiers, and detectors."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from coarsecon.config import Checkpoint
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.distributed import Distributed
from coarsecon.runtime.progress import Reporter
from coarsecon.train.checkpoint import save_checkpoint
from coarsecon.train.log import NoLog, Sink

Batch = TypeVar("Batch")

Timed = Callable[[Iterator[Any]], Iterator[Any]]
"""Passes items on and counts the time spent waiting for them as data loading time."""


@dataclass(frozen=True)
class Length:
    """Length of a training, and intervals for logging and saving.

    Args:
        epochs: Number of epochs, each followed by `Task.after_epoch`.
        steps_per_epoch: Optimizer steps in an epoch.
        batch_size: Global batch size in images.
        log_every: Steps between two rows of the log; the last step of an epoch is always logged.
        save_every: Steps between two states saved within an epoch; 0 saves at the end of epochs only.
    """

    epochs: int
    steps_per_epoch: int
    batch_size: int
    log_every: int
    save_every: int = 0

    @property
    def steps(self) -> int:
        """Optimizer steps of the complete training."""
        return self.epochs * self.steps_per_epoch


class Task(ABC, Generic[Batch]):
    """A model, its optimizer, its batches and its loss; a `Loop` does the rest.

    Args:
        model: The module whose parameters and buffers are saved.
        optimizer: The loop sets its learning rate before every step, times a group's `lr_scale` if it has one.
        folder: Where states are saved. Without one nothing is, and signals end the training as usual.
        comm: The ranks that train together; the batch size is divided among them.
    """

    title = "training"
    learning_rate_name = "optimizer.lr"
    """The setting to lower when the loss diverges."""
    state_key = "method"
    """Key of the model in a saved state."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        length: Length,
        *,
        folder: RunFolder | None = None,
        reporter: Reporter | None = None,
        comm: Distributed | None = None,
    ) -> None:
        self.model, self.optimizer, self.length, self.folder = model, optimizer, length, folder
        self.reporter, self.comm = reporter or Reporter(), comm or Distributed()

    @abstractmethod
    def batches(self, epoch: int, done: int, timed: Timed) -> Iterator[Batch]:
        """Yield this rank's batches of an epoch after the first `done`; `timed` wraps the iterator that loads them."""

    def parts(self, batch: Batch) -> Sequence[Batch]:
        """Return the parts of a batch whose mean losses are averaged (gradient accumulation)."""
        return [batch]

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Compute scalars to log, among them the `loss` to minimize."""

    @abstractmethod
    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""

    @property
    def evaluations(self) -> int:
        """Number of evaluations during the training, for an estimate of its length."""
        return 0

    def epoch_of(self, step: int) -> int:
        """Return the epoch of a step, both counted from 1."""
        return (step - 1) // self.length.steps_per_epoch + 1

    def open_log(self, from_step: int) -> Sink:
        """Record the settings and open the log, which continues after `from_step`; called on rank 0."""
        return NoLog()

    def companions(self) -> dict[str, nn.Module]:
        """Return further modules that are saved and restored with the model, by their key in a saved state."""
        return {}

    def before_training(self) -> None:
        """Prepare a training that starts at step 0."""

    def initial_metrics(self) -> dict[str, float]:
        """Return the metrics of the model before the first step, if it is evaluated then."""
        return {}

    def after_step(self) -> None:
        """Update what follows the optimizer, such as a queue."""

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Return the metrics of an evaluation, if there is one after this epoch (counted from 0)."""
        return {}

    def score(self, metrics: dict[str, float]) -> float:
        """Return the metric by which the best state is chosen."""
        raise NotImplementedError

    def stops_early(self, epoch: int, best_epoch: int) -> bool:
        """Return whether the training ends after an epoch, given the one with the best score (counted from 1)."""
        return False

    def origin(self) -> dict[str, Any]:
        """Return what is saved with a state to recognize what it was trained from."""
        return {}

    def check_origin(self, state: dict[str, Any]) -> None:
        """Raise InputError if a state was trained from something else."""

    def write_state(self, state: dict[str, Any], checkpoint: Checkpoint) -> None:
        """Write a state; called on rank 0."""
        if self.folder:
            save_checkpoint(state, self.folder.checkpoint(checkpoint))
