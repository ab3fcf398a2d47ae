"""The training core: resuming, signals, logging, divergence checks, ranks and checkpoints around a task's step."""

import math
import time
from contextlib import nullcontext
from typing import Any, Generic

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from coarsecon.config import Checkpoint
from coarsecon.nn.freezing import FixedStatistics
from coarsecon.runtime.progress import Progress as ProgressBar
from coarsecon.train.checkpoint import Progress, load_checkpoint, restore
from coarsecon.train.divergence import diverged
from coarsecon.train.forecast import Forecast, time_left
from coarsecon.train.log import NoLog, Sink
from coarsecon.train.stopping import InterruptedRunError, StopRequest
from coarsecon.train.task import Batch, Task
from coarsecon.train.window import Window

STOP_INTERVAL_STEPS = 10
"""Steps between two exchanges among ranks about whether one of them received a signal."""


class Loop(Generic[Batch]):
    """A task's training in progress.

    Args:
        task: What is trained.
        save_interval: Least seconds between states saved at the end of epochs; the first and the last are always
            saved. Writing a state of a ResNet-18 takes half a second, as long as a short epoch.
        forecast: Measures the first steps, to report once when the training will end.
    """

    def __init__(self, task: Task[Batch], save_interval: float = 30.0, forecast: Forecast | None = None) -> None:
        self.task, self.length, self.comm, self.save_interval = task, task.length, task.comm, save_interval
        self.progress = Progress()
        self.forecast = forecast or Forecast()
        self.stop = StopRequest(task.reporter)
        self._bar = ProgressBar()
        self._log: Sink = NoLog()
        self._saved = -math.inf
        self._first_loss: Tensor | None = None

    def load(self) -> None:
        """Restore the last state.

        Raises:
            InputError: It is missing, damaged, or belongs to another training.
        """
        assert self.task.folder is not None
        path = self.task.folder.checkpoint("last")
        state = self.comm.broadcast_object(lambda: load_checkpoint(path))
        self.task.check_origin(state)
        self.progress = restore(state, path, self._modules(), self.task.optimizer)

    def save(self, checkpoint: Checkpoint) -> None:
        """Save the state, on rank 0; all ranks call this."""
        self.comm.average_(running_statistics(*self._modules().values()))
        if checkpoint == "last":
            self._saved = time.monotonic()
        if self.comm.rank == 0:
            task = self.task
            state: dict[str, Any] = {name: module.state_dict() for name, module in self._modules().items()}
            state["optimizer"] = task.optimizer.state_dict()
            task.write_state(state | {"progress": vars(self.progress)} | task.origin(), checkpoint)

    def _modules(self) -> dict[str, nn.Module]:
        """Return the modules whose states are saved, by their key in a state."""
        return {self.task.state_key: self.task.model, **self.task.companions()}

    def run_to_end(self) -> None:
        """Train from the current step to the last.

        Raises:
            CoarseconError: The loss became infinite or NaN.
            InterruptedRunError: A signal arrived; the state is saved.
        """
        task, length, progress = self.task, self.length, self.progress
        if self.comm.rank == 0:
            self._log = task.open_log(progress.step)
        try:
            if progress.step == 0:
                task.before_training()
                if metrics := self.forecast.timed_evaluation(task.initial_metrics):
                    self._log.write({"step": 0, "epoch": 0, **metrics})
                    self._keep_best(metrics, epoch=0)
            bar = task.reporter.progress(task.title, length.steps * length.batch_size)
            with self.stop if task.folder else nullcontext(), bar as self._bar:
                self._bar.advance(progress.step * length.batch_size)
                for epoch in range(progress.step // length.steps_per_epoch, length.epochs):
                    if self._is_over(epoch):
                        break
                    self._train_epoch(epoch)
                    self._finish_epoch(epoch)
        finally:
            self._log.close()
        if progress.step < length.steps:
            epochs = progress.step // length.steps_per_epoch
            task.reporter.info(
                f"stopped early after epoch {epochs}: the best checkpoint is of epoch {progress.best_epoch}"
            )

    def _train_epoch(self, epoch: int) -> None:
        length, progress = self.length, self.progress
        window = Window(length.batch_size, self.comm)
        self.forecast.start_epoch()
        for batch in self.task.batches(epoch, progress.step - epoch * length.steps_per_epoch, window.timed):
            rate = self.task.learning_rate(progress.step)
            scalars = self.train_step(batch, rate)
            if self._first_loss is None:
                self._first_loss = scalars["loss"].clone()
            window.add(scalars)
            progress.step += 1
            self._bar.advance(length.batch_size)
            is_last = progress.step % length.steps_per_epoch == 0
            if progress.step % length.log_every == 0 or is_last:
                self._write_row(rate, window)
            is_due = not is_last and length.save_every > 0 and progress.step % length.save_every == 0
            stops = not is_last and self._should_stop()
            if stops or is_due:
                self._check_loss(scalars["loss"])
                self.save("last")
            if stops:
                raise InterruptedRunError(f"stopped at step {progress.step}")
            self._report_end(scalars["loss"])

    def _report_end(self, loss: Tensor) -> None:
        """Report the time left, once."""
        seconds_per_step = self.forecast.after_step(lambda: float(loss))
        if seconds_per_step is None:
            return
        steps_left = self.length.steps - self.progress.step
        evaluations_left = self.task.evaluations * steps_left / self.length.steps
        left = steps_left * seconds_per_step + evaluations_left * self.forecast.evaluation_seconds
        if text := time_left(left):
            self.task.reporter.info(text)

    def _write_row(self, rate: float, window: Window) -> None:
        step, epoch = self.progress.step, self.task.epoch_of(self.progress.step)
        gradients = [parameter.grad for parameter in self.task.model.parameters() if parameter.grad is not None]
        row = {"step": step, "epoch": epoch, "lr": rate, "grad_norm": float(get_total_norm(gradients))}
        row |= window.close()
        self._log.write(row)
        self._bar.advance(0, f"epoch {epoch}/{self.task.epoch_of(self.length.steps)}, loss {row['loss']:.3f}")
        self._check_loss(row["loss"])

    def _check_loss(self, loss: float | Tensor) -> None:
        if self.comm.any(not math.isfinite(loss)):
            assert self._first_loss is not None
            from_the_start = not math.isfinite(self._first_loss)
            raise diverged(float(loss), self.progress.step, self.task.learning_rate_name, from_the_start=from_the_start)

    def _should_stop(self) -> bool:
        """Return whether some rank received a signal; several ranks ask each other every few steps only."""
        asks = self.comm.world_size == 1 or self.progress.step % STOP_INTERVAL_STEPS == 0
        return asks and self.comm.any(self.stop.requested)

    def train_step(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """Compute the losses, update the parameters, and return the scalars."""
        for group in self.task.optimizer.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        self.task.optimizer.zero_grad(set_to_none=True)
        parts = self.task.parts(batch)
        rows = []
        for part in parts:
            scalars = self.task.losses(part)
            (scalars["loss"] / len(parts)).backward()
            rows.append({name: value.detach() for name, value in scalars.items()})
        self.task.optimizer.step()
        self.task.after_step()
        return (
            rows[0] if len(rows) == 1 else {name: torch.stack([row[name] for row in rows]).mean(0) for name in rows[0]}
        )

    def _finish_epoch(self, epoch: int) -> None:
        progress = self.progress
        # Every epoch: the time of a save must not matter.
        self.comm.average_(running_statistics(*self._modules().values()))
        metrics = self.task.after_epoch(epoch)
        if metrics:
            self._log.write({"step": progress.step, "epoch": epoch + 1, **metrics})
            self._keep_best(metrics, epoch=epoch + 1)
        is_last = progress.step == self.length.steps or self._is_over(epoch + 1)
        stops = not is_last and self.comm.any(self.stop.requested)
        if stops or is_last or self.comm.any(time.monotonic() - self._saved >= self.save_interval):
            self.save("last")
        if stops:
            raise InterruptedRunError(f"stopped after epoch {epoch + 1}")

    def _keep_best(self, metrics: dict[str, float], *, epoch: int) -> None:
        """Save the state as the best one if it has the highest score so far."""
        if self.task.score(metrics) > self.progress.best:
            self.progress.best, self.progress.best_epoch = self.task.score(metrics), epoch
            self.save("best")

    def _is_over(self, epoch: int) -> bool:
        """Return whether the training stops early after this many epochs, which depends on saved progress only."""
        return self.task.stops_early(epoch, self.progress.best_epoch)


def running_statistics(*models: nn.Module) -> list[Tensor]:
    """Return batch norm's running means and variances: the only state that may differ between ranks."""
    kinds = ("running_mean", "running_var")
    modules = [module for model in models for module in model.modules() if not isinstance(module, FixedStatistics)]
    return [buffer for module in modules for name, buffer in module.named_buffers(recurse=False) if name in kinds]
