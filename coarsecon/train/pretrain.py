"""The training loop: plain torch, one method, a device for each rank; it knows no method by name."""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm

from coarsecon.config import Checkpoint, to_yaml
from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.errors import InputError
from coarsecon.methods import Method
from coarsecon.nn.encoder import Encoder, save_encoder
from coarsecon.nn.weights import LoadedWeights
from coarsecon.pictures.grid import write_image_grid
from coarsecon.run.folder import RunFolder
from coarsecon.run.restore import save_heads
from coarsecon.runtime import seeds
from coarsecon.runtime.device import autocast
from coarsecon.runtime.distributed import Distributed
from coarsecon.runtime.documents import read_json_object
from coarsecon.runtime.files import atomic_write
from coarsecon.runtime.progress import Reporter
from coarsecon.train import batches, compiled, monitor
from coarsecon.train.checkpoint import load_checkpoint, restore, save_checkpoint
from coarsecon.train.divergence import diverged
from coarsecon.train.environment import describe_environment
from coarsecon.train.log import MetricLog, NoLog, Sink
from coarsecon.train.optimizer import build_optimizer
from coarsecon.train.resolve import RunSpec
from coarsecon.train.schedule import learning_rate
from coarsecon.train.stopping import InterruptedRunError, StopRequest
from coarsecon.train.window import Window
from coarsecon.views.batch import ImageBatch

Views = dict[str, Tensor]

SECONDS_TO_SAVE = 30
"""Writing a state of ResNet-18 takes half a second, and an epoch of CIFAR-100 on a large GPU little more than one."""

STEPS_TO_STOP = 10
"""Ranks ask each other so often whether one of them was told to stop."""


@dataclass
class Progress:
    """How far a run is: finished steps, and the best monitored recall so far with its epoch."""

    step: int = 0
    best: float = -1.0
    best_epoch: int = -1


def pretrain(
    plan: RunSpec,
    root: Path,
    *,
    resume: bool = False,
    reporter: Reporter | None = None,
    comm: Distributed | None = None,
) -> RunFolder:
    """Train as planned into the run folder `root`; with `resume`, continue from its last state, bit for bit.

    On several ranks, which `comm` is for, rank 0 alone reads and writes the folder.

    Raises:
        InputError: the folder holds a run already, or another process trains there, or a run of other images is
            resumed; or the batch cannot be shared out evenly.
        CoarseconError: the loss became infinite or not a number.
        InterruptedRunError: the run was asked to stop; its state is saved.
    """
    run, comm = RunFolder(root), comm or Distributed()
    if plan.config.run.batch_size % comm.world_size:
        raise InputError(
            f"run.batch_size: {plan.config.run.batch_size} images cannot be shared evenly by {comm.world_size} ranks"
        )
    with ExitStack() as held:
        has_state = comm.broadcast_object(lambda: _claim(run, resume, held))
        reporter = reporter or Reporter()
        trainer = Pretrainer(replace(plan, restored=has_state), run, reporter, comm)
        if has_state:
            trainer.load()
        reporter.info(plan.summary() + (f" on {comm.world_size} ranks" if comm.world_size > 1 else ""))
        unmonitored = (
            monitor.unlabeled_notes(plan.dataset, plan.config.data.labels) if plan.config.run.monitor_every else []
        )
        for note in filter(None, [plan.left_out, *unmonitored]):
            reporter.info(note)
        trainer.run_to_end()
    return run


def _claim(run: RunFolder, resume: bool, held: ExitStack) -> bool:
    """Lock the run until `held` closes, and say whether it holds a state to resume from."""
    _has_state(run, resume)  # a folder that is not a run must not get a lock file either
    held.enter_context(run.locked())
    return _has_state(run, resume)


def _has_state(run: RunFolder, resume: bool) -> bool:
    root, has_state = run.root, run.checkpoint("last").exists()
    if has_state and not resume:
        raise InputError(f"{root}: holds a run already; pass --resume to continue it, or another --out")
    if run.encoder().exists() and not has_state:
        raise InputError(
            f"{root}: holds an encoder and no training state; choose another --out, and --init-from it to go on"
        )
    if root.exists() and not root.is_dir():
        raise InputError(f"{root}: is a file; --out names a folder")
    if not run.is_empty() and not run.config_file.exists():
        raise InputError(f"{root}: holds other files; --out names a new folder, or a run to resume")
    return has_state


class Pretrainer:
    """The state of a run in progress and the few things that happen to it."""

    def __init__(self, plan: RunSpec, run: RunFolder, reporter: Reporter, comm: Distributed | None = None) -> None:
        self.plan, self.run, self.reporter, self.comm = plan, run, reporter, comm or Distributed()
        self.config, self.device = plan.config, plan.device
        self.initial_weights: dict[str, Any] | None = None
        self.method = plan.build_method(self.comm, self.note_weights).train()
        if self.config.run.compile:
            compiled.compile_networks(self.method, self.device)
        self.step = shared_step(self.method, self.comm)
        self.views = self.method.views()
        self.optimizer = build_optimizer(self.method, self.config.optimizer, self.device)
        self.loader = ImageLoader(plan.split, self.device, self.config.data.workers, reporter=reporter)
        self.labels = plan.split.labels[self.config.data.labels].to(self.device)
        own_batch = self.config.run.batch_size // self.comm.world_size
        self.steps_at_once = 1
        if plan.split.files is None:  # files are decoded a batch at a time
            self.steps_at_once = batches.steps_at_once(own_batch, plan.card.input.size, self.device)
        self.images = plan.dataset.info.splits["train"].checksum
        self.progress = Progress()
        self.saved = -math.inf
        self.first_loss: Tensor | None = None

    def note_weights(self, loaded: LoadedWeights) -> None:
        """Report what the backbone starts from, and keep it for the run's record."""
        self.initial_weights = asdict(loaded)
        for line in loaded.lines():
            self.reporter.info(line)

    def load(self) -> None:
        """Take up the state of the run's last checkpoint; raises InputError when it is of other images."""
        state = self.comm.broadcast_object(lambda: load_checkpoint(self.run.checkpoint("last")))
        if state.get("images", self.images) != self.images:  # states of earlier versions do not say
            raise InputError(
                f"{self.plan.dataset.root}: other images than those {self.run.root} learned from so far; "
                "pass the dataset it began with as --data, or begin another run with another --out"
            )
        path = self.run.checkpoint("last")
        self.progress = Progress(**restore(state, path, self.method, self.optimizer))

    def save(self, which: Checkpoint) -> None:
        """Write training state, encoder and the method's heads together, on rank 0; all ranks call this."""
        self.comm.average_(running_statistics(self.method))
        if which == "last":
            self.saved = time.monotonic()
        if self.comm.rank:
            return
        state = {
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": vars(self.progress),
            "images": self.images,
        }
        classes = self.plan.dataset.info.levels[self.config.data.labels]
        with self.run.writing() as new:
            save_checkpoint(state, new.checkpoint(which))
            save_encoder(self.method.encoder, self.plan.card, new.encoder(which))
            save_heads(self.method, classes, new.heads(which), encoder=new.encoder(which))

    def open_log(self) -> Sink:
        """Write what is known at the start, and begin or continue the log; on rank 0 alone."""
        if self.comm.rank:
            return NoLog()
        atomic_write(self.run.config_file, to_yaml(self.config))
        environment = describe_environment(self.device, self.config.run.precision, ranks=self.comm.world_size)
        environment["initial_weights"] = self.initial_weights or recorded_weights(self.run)
        environment["training_images"] = self.images
        atomic_write(self.run.environment_file, json.dumps(environment, indent=2))
        return MetricLog(self.run, self.config, from_step=self.progress.step, loggers=self.config.run.loggers)

    def run_to_end(self) -> None:
        """Train from the present step to the last epoch's end."""
        config, progress, per_epoch = self.config, self.progress, self.plan.steps_per_epoch
        log = self.open_log()
        total = config.schedule.epochs * per_epoch
        images = config.run.batch_size
        try:
            if progress.step == 0:
                self.draw_views()
                with autocast(self.device, config.run.precision):
                    self.method.before_training(self.filling_batches())
            with StopRequest(self.reporter) as stop, self.reporter.progress("training", total * images) as bar:
                bar.advance(progress.step * images)
                for epoch in range(progress.step // per_epoch, config.schedule.epochs):
                    self.train_epoch(epoch, log, bar, stop)
                    self.comm.average_(running_statistics(self.method))  # whatever the clock says of saving
                    self.look(epoch, log)
                    stops = progress.step < total and self.comm.any(stop.requested)
                    if stops or progress.step == total or self.comm.any(self.is_time_to_save()):
                        self.save("last")
                    if stops:
                        raise InterruptedRunError(f"stopped after epoch {epoch + 1}")
        finally:
            log.close()

    def train_epoch(self, epoch: int, log: Sink, bar: Any, stop: StopRequest) -> None:
        """The steps of one epoch that are still to do."""
        config, progress, per_epoch = self.config, self.progress, self.plan.steps_per_epoch
        order, done = self.batches_of_epoch(epoch), progress.step - epoch * per_epoch
        window = Window(config.run.batch_size, self.comm)
        for views, labels in self.view_batches(order, seeds.VIEWS, epoch * per_epoch, done=done, window=window):
            rate = learning_rate(
                progress.step, base=config.optimizer.lr, schedule=config.schedule, steps_per_epoch=per_epoch
            )
            scalars = self.train_step(views, labels, rate)
            if self.first_loss is None:
                self.first_loss = scalars["loss"].clone()
            window.add(scalars)
            progress.step += 1
            bar.advance(config.run.batch_size)
            if progress.step % config.run.log_every == 0 or progress.step % per_epoch == 0:
                row = {"step": progress.step, "epoch": epoch + 1, "lr": rate, **self.gradient_norm(), **window.close()}
                log.write(row)
                bar.advance(0, f"epoch {epoch + 1}/{config.schedule.epochs}, loss {row['loss']:.3f}")
                if not math.isfinite(row["loss"]):
                    from_the_start = not math.isfinite(float(self.first_loss))
                    raise diverged(row["loss"], progress.step, from_the_start=from_the_start)
            if progress.step % per_epoch and self.should_stop(stop):
                self.save("last")
                raise InterruptedRunError(f"stopped at step {progress.step}")

    def batches_of_epoch(self, epoch: int, purpose: int = seeds.ORDER) -> list[Tensor]:
        """This rank's image indices of every batch."""
        size, seed = self.config.run.batch_size, self.config.run.seed
        order = batches.epoch_batches(len(self.plan.split), size, seed=seed, epoch=epoch, purpose=purpose)
        return [indices[self.comm.shard(size)] for indices in order]

    def should_stop(self, stop: StopRequest) -> bool:
        """Whether some rank was told to stop; several ask each other every few steps."""
        asks = self.comm.world_size == 1 or self.progress.step % STEPS_TO_STOP == 0
        return asks and self.comm.any(stop.requested)

    def train_step(self, views: Views, labels: Tensor, rate: float) -> dict[str, Tensor]:
        """Forward, backward, update; returns the method's scalars."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.config.run.compile:
            torch.compiler.cudagraph_mark_step_begin()
        with autocast(self.device, self.config.run.precision):
            scalars: dict[str, Tensor] = self.step(views, labels)
        self.optimizer.zero_grad(set_to_none=True)
        scalars["loss"].backward()
        self.optimizer.step()
        self.method.after_step()
        return {name: value.detach() for name, value in scalars.items()}

    def is_time_to_save(self) -> bool:
        """Whether a crash would cost more than some seconds, or the run's first epoch."""
        return time.monotonic() - self.saved >= SECONDS_TO_SAVE

    def look(self, epoch: int, log: Sink) -> None:
        """Look at the embedding after an epoch when it is time to, and save it if it is the best."""
        every = self.config.run.monitor_every
        if every and ((epoch + 1) % every == 0 or epoch + 1 == self.config.schedule.epochs):
            seen = self.monitor()
            log.write({"step": self.progress.step, "epoch": epoch + 1, **seen})
            score = monitor.score(seen, self.config.data.labels)
            if score > self.progress.best:
                self.progress.best, self.progress.best_epoch = score, epoch + 1
                self.save("best")

    def monitor(self) -> dict[str, float]:
        """Recall@1, and kNN accuracy if asked for, on the monitored images."""
        settings, workers = self.config.run, self.config.data.workers
        split = monitor.monitored_split(self.plan.dataset, settings.monitor_images)
        bank = ImageLoader(self.plan.split, self.device, workers) if settings.monitor_knn else None
        encoder = Encoder(self.method.encoder, self.plan.card)

        def embed(batch: ImageBatch) -> Tensor:
            with autocast(self.device, settings.precision), compiled.uncompiled(settings.compile):
                return encoder.embed(batch)

        return monitor.look(embed, ImageLoader(split, self.device, workers), bank, self.comm)

    def view_batches(
        self, order: list[Tensor], purpose: int, first_step: int, *, done: int = 0, window: Window | None = None
    ) -> Iterator[tuple[Views, Tensor]]:
        """(views, labels) of each batch of `order` after the `done` first; `window` counts the waiting for images.

        Views of several batches are drawn together, from the first of `order` on, so that they do not depend on `done`.
        """
        seed, rank, size = self.config.run.seed, self.comm.rank, self.steps_at_once
        starts = range(done - done % size, len(order), size)
        indices = [torch.cat(order[start : start + size]) for start in starts]
        images = self.loader.batches(indices)
        for start, own, batch in zip(starts, indices, window.timed(images) if window else images, strict=True):
            generator = seeds.step_generator(seed, purpose, first_step + start, rank, self.device)
            views = {
                name: view(batch, generator).contiguous(memory_format=torch.channels_last)
                for name, view in self.views.items()
            }
            labels = self.labels[own.to(self.device, non_blocking=True)]
            parts = [len(step) for step in order[start : start + size]]
            split = {name: together.split(parts) for name, together in views.items()}
            for place, step_labels in enumerate(labels.split(parts)):
                if start + place >= done:
                    seeds.seed_step(seed, purpose, first_step + start + place, rank)
                    yield {name: steps[place] for name, steps in split.items()}, step_labels

    def filling_batches(self) -> Iterator[tuple[Views, Tensor]]:
        """Batches to fill a queue with, at most once through the data."""
        order = self.batches_of_epoch(0, seeds.FILLING)
        with self.reporter.progress("before training") as bar:
            for views, labels in self.view_batches(order, seeds.FILLING, 0):
                bar.advance(len(labels))
                yield views, labels

    def draw_views(self, images: int = 8) -> None:
        """Save the picture of what the first batch's first images are shown as."""
        config = self.config.run
        first = self.batches_of_epoch(0)[: self.steps_at_once]
        columns = {"image": [self.plan.split.image(int(i)) for i in first[0][:images]]}
        views, _ = next(self.view_batches(first, seeds.VIEWS, 0))
        mean, std = (
            torch.tensor(values, device=self.device)[:, None, None]
            for values in (self.plan.card.input.mean, self.plan.card.input.std)
        )
        with autocast(self.device, config.precision):
            shown = self.method.shown(views)
        for name, normalised in shown.items():
            pixels = (255 * (normalised[:images].float() * std + mean)).round().clamp(0, 255).to("cpu", torch.uint8)
            columns[name] = list(pixels.permute(0, 2, 3, 1).numpy())
        if self.comm.rank == 0:
            write_image_grid(self.run.views_picture, columns)

    def gradient_norm(self) -> dict[str, float]:
        """The norm of all gradients of the last step."""
        gradients = [parameter.grad for parameter in self.method.parameters() if parameter.grad is not None]
        return {"grad_norm": float(get_total_norm(gradients))}


def shared_step(method: Method, comm: Distributed) -> Callable[[Views, Tensor], dict[str, Tensor]]:
    """`method.step`; on several ranks, one whose parameters start alike and whose gradients are means over them."""
    if comm.world_size == 1:
        return method.step
    # The graph is the same in every step: said so, parameters that the loss does not use are no error.
    return DistributedDataParallel(_Step(method), broadcast_buffers=False, static_graph=True)


class _Step(nn.Module):
    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, views: Views, labels: Tensor) -> dict[str, Tensor]:
        return self.method.step(views, labels)


def recorded_weights(run: RunFolder) -> Any:
    """What the record of a run that is resumed says of its initial weights; None for random ones."""
    try:
        return read_json_object(run.environment_file).get("initial_weights")
    except (OSError, InputError):
        return None


def running_statistics(method: Method) -> list[Tensor]:
    """What batch norm has seen: the one state that may differ between ranks."""
    kinds = ("running_mean", "running_var")
    return [buffer for name, buffer in method.named_buffers() if name.rpartition(".")[2] in kinds]
