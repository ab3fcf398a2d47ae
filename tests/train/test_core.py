"""The training core on a task of a few numbers: what it calls, when it saves, and how it resumes."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from coarsecon.errors import CoarseconError
from coarsecon.run.folder import RunFolder
from coarsecon.train.checkpoint import load_checkpoint, save_checkpoint
from coarsecon.train.log import MetricLog, Sink
from coarsecon.train.loop import Loop
from coarsecon.train.stopping import InterruptedRunError
from coarsecon.train.task import Length, Task, Timed


class Regression(Task[Tensor]):
    """Two groups of parameters, one of which learns at a tenth of the rate."""

    def __init__(self, folder: RunFolder | None, length: Length, broken_at: int | None = None) -> None:
        model = nn.Linear(3, 1)
        with torch.no_grad():
            model.weight.fill_(1.0)
            model.bias.zero_()
        groups = [{"params": [model.weight]}, {"params": [model.bias], "lr_scale": 0.1}]
        super().__init__(model, torch.optim.SGD(groups, lr=1.0, momentum=0.9), length, folder=folder)
        self.broken_at, self.calls = broken_at, []

    def batches(self, epoch: int, done: int, timed: Timed) -> Iterator[Tensor]:
        per_epoch = self.length.steps_per_epoch
        return timed(torch.full((2, 3), float(epoch * per_epoch + step + 1)) for step in range(done, per_epoch))

    def losses(self, batch: Tensor) -> dict[str, Tensor]:
        step = int(batch[0, 0])
        loss = self.model(batch / step).square().mean()
        return {"loss": loss * (math.nan if self.broken_at == step else 1.0)}

    def learning_rate(self, step: int) -> float:
        return 0.01 * (step + 1)

    def open_log(self, from_step: int) -> Sink:
        assert self.folder
        self.folder.root.mkdir(exist_ok=True)
        return MetricLog(self.folder, None, from_step=from_step)

    def after_epoch(self, epoch: int) -> dict[str, float]:
        self.calls.append(epoch)
        return {"accuracy": (0.2, 0.8, 0.5)[epoch]}

    def score(self, metrics: dict[str, float]) -> float:
        return metrics["accuracy"]

    def write_state(self, state: dict, checkpoint: str) -> None:
        self.calls.append((checkpoint, state["progress"]["step"]))
        super().write_state(state, checkpoint)


LENGTH = Length(epochs=3, steps_per_epoch=4, batch_size=2, log_every=3)


def test_epochs_are_evaluated_logged_and_saved(tmp_path):
    task = Regression(RunFolder(tmp_path / "run"), LENGTH)
    Loop(task, save_interval=1000).run_to_end()
    assert task.calls == [0, ("best", 4), ("last", 4), 1, ("best", 8), 2, ("last", 12)]
    rows = task.folder.metrics()
    assert [row["step"] for row in rows if "loss" in row] == [3, 4, 6, 8, 9, 12]
    assert [(row["epoch"], row["accuracy"]) for row in rows if "accuracy" in row] == [(1, 0.2), (2, 0.8), (3, 0.5)]
    assert load_checkpoint(task.folder.checkpoint("last"))["progress"] == {"step": 12, "best": 0.8, "best_epoch": 2}


def test_learning_rates_of_groups_are_scaled():
    task = Regression(None, LENGTH)
    Loop(task).train_step(torch.ones(2, 3), 0.5)
    assert [group["lr"] for group in task.optimizer.param_groups] == [0.5, 0.05]


@pytest.mark.parametrize("save_every", [0, 3])
def test_a_stopped_training_resumes_to_the_same_weights(tmp_path, save_every):
    length = Length(3, 4, 2, log_every=3, save_every=save_every)
    straight = Regression(RunFolder(tmp_path / "straight"), length)
    Loop(straight).run_to_end()

    stopped = Regression(RunFolder(tmp_path / "stopped"), length)
    loop, step = Loop(stopped), stopped.after_step
    stopped.after_step = lambda: (step(), setattr(loop.stop, "requested", loop.progress.step == 5))
    with pytest.raises(InterruptedRunError, match="stopped at step 6"):
        loop.run_to_end()
    resumed = Regression(RunFolder(tmp_path / "stopped"), length)
    loop = Loop(resumed)
    loop.load()
    assert loop.progress.step == 6
    loop.run_to_end()
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])
    steps = [row["step"] for row in resumed.folder.metrics() if "loss" in row]
    assert steps == [row["step"] for row in straight.folder.metrics() if "loss" in row]


def test_states_within_an_epoch_are_saved_at_an_interval_but_not_with_a_loss_that_is_not_finite(tmp_path):
    length = Length(epochs=1, steps_per_epoch=12, batch_size=2, log_every=12, save_every=4)
    task = Regression(RunFolder(tmp_path / "run"), length, broken_at=8)
    with pytest.raises(CoarseconError, match="nan at step 8") as error:
        Loop(task).run_to_end()
    assert error.value.hint == "lower optimizer.lr"
    assert task.calls == [("last", 4)]


def test_without_a_folder_nothing_is_written_and_signals_are_not_caught(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = Regression(None, LENGTH)
    task.open_log = super(Regression, task).open_log
    loop = Loop(task)
    task.after_step = lambda: setattr(loop.stop, "handled", bool(loop.stop._former))
    loop.run_to_end()
    assert not loop.stop.handled
    assert not list(tmp_path.iterdir())


def test_states_that_hold_only_a_step_are_resumed(tmp_path):
    """As detectors of earlier versions saved them."""
    task = Regression(RunFolder(tmp_path / "run"), LENGTH)
    state = {"method": task.model.state_dict(), "optimizer": task.optimizer.state_dict(), "step": 9}
    save_checkpoint(state, task.folder.checkpoint("last"))
    loop = Loop(task)
    loop.load()
    assert (loop.progress.step, loop.progress.best) == (9, -1.0)


class Impatient(Regression):
    """Stops two epochs after the best."""

    def stops_early(self, epoch: int, best_epoch: int) -> bool:
        return 0 <= best_epoch <= epoch - 1

    def after_epoch(self, epoch: int) -> dict[str, float]:
        self.calls.append(epoch)
        return {"accuracy": 0.5}


def test_a_training_that_stops_early_saves_and_does_not_continue_when_resumed(tmp_path):
    task = Impatient(RunFolder(tmp_path / "run"), LENGTH)
    Loop(task).run_to_end()
    assert task.calls == [0, ("best", 4), ("last", 4), 1, ("last", 8)]
    resumed = Loop(Impatient(RunFolder(tmp_path / "run"), LENGTH))
    resumed.load()
    resumed.run_to_end()
    assert resumed.progress.step == 8
    assert resumed.task.calls == []
