"""The training of a detector: steps of SGD, saved now and then, and resumed where it stopped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coarsecon.config import to_yaml
from coarsecon.detection.data import Example, Examples, load_batches, mirrored
from coarsecon.detection.spec import DetectionSpec
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.run.marks import encoder_mark
from coarsecon.runtime import seeds
from coarsecon.runtime.device import autocast
from coarsecon.runtime.distributed import Distributed
from coarsecon.runtime.files import atomic_write
from coarsecon.runtime.progress import Reporter
from coarsecon.train import batches
from coarsecon.train.checkpoint import load_checkpoint, save_checkpoint
from coarsecon.train.divergence import diverged
from coarsecon.train.environment import describe_environment
from coarsecon.train.log import MetricLog
from coarsecon.train.schedule import warmup_drops
from coarsecon.train.stopping import InterruptedRunError, StopRequest
from coarsecon.train.window import Window

CONFIG = "detection.yaml"
"""Settings in the folder of a detector; beside it are metrics.jsonl and checkpoints/last.pt, as in a run."""


def train_detector(
    plan: DetectionSpec, folder: Path, *, resume: bool = False, reporter: Reporter | None = None
) -> nn.Module:
    """The detector, trained as planned and kept in `folder`; with `resume`, from the last state there.

    Raises:
        InputError: the folder holds something else, or a training and `resume` is off, or another process trains there.
        CoarseconError: the loss became infinite or not a number.
        InterruptedRunError: it was asked to stop; its state is saved.
    """
    check_folder(folder, resume=resume)
    with RunFolder(folder).locked():
        trainer = _Trainer(plan, RunFolder(folder), reporter or Reporter())
        if resume:
            trainer.load()
        if trainer.step < plan.config.schedule.steps:
            trainer.run_to_end()
        return trainer.model


def check_folder(folder: Path, *, resume: bool) -> None:
    """Make sure that a training may begin, or go on, in `folder`.

    Raises:
        InputError: it may not.
    """
    has_state = RunFolder(folder).checkpoint("last").exists()
    if resume and not has_state:
        raise InputError(f"{folder}: holds no training to resume; leave --resume out to start one")
    if has_state and not resume:
        raise InputError(f"{folder}: holds a training already; pass --resume to continue it, or another --out")
    if folder.exists() and (
        not folder.is_dir() or (not RunFolder(folder).is_empty() and not (folder / CONFIG).exists())
    ):
        raise InputError(f"{folder}: holds something else; --out names a new folder, or a training to resume")


class _Trainer:
    """The state of a training in progress."""

    def __init__(self, plan: DetectionSpec, place: RunFolder, reporter: Reporter) -> None:
        self.plan, self.config, self.place, self.reporter = plan, plan.config, place, reporter
        self.encoder = encoder_mark(plan.run, plan.config.model.encoder)
        self.model = plan.build()
        self.examples = Examples(plan.train.images, plan.classes)
        self.step = 0
        self.optimizer = torch.optim.SGD(
            _parameter_groups(self.model, self.config.optimizer.weight_decay), lr=self.config.optimizer.lr,
            momentum=self.config.optimizer.momentum, nesterov=self.config.optimizer.nesterov,
        )  # fmt: skip

    def load(self) -> None:
        """Take up the last state."""
        path = self.place.checkpoint("last")
        state = load_checkpoint(path)
        if state.get("encoder") != self.encoder:
            raise InputError(f"{path}: began with other weights than {self.plan.run.root} has; choose another --out")
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = int(state["step"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{path}: not the state of this detector ({str(error).splitlines()[0]})") from None

    def save(self) -> None:
        """Write the state, all of it or none."""
        state = {
            "encoder": self.encoder,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        save_checkpoint(state, self.place.checkpoint("last"))

    def run_to_end(self) -> None:
        """Train from the present step to the last, and take batch norm's statistics anew if asked for."""
        config, steps = self.config, self.config.schedule.steps
        atomic_write(self.place.root / CONFIG, to_yaml(config))
        environment = describe_environment(self.plan.device, config.run.precision)
        atomic_write(self.place.environment_file, json.dumps(environment, indent=2))
        log = MetricLog(self.place, config, from_step=self.step, loggers=config.run.loggers)
        window = Window(config.run.batch_size, Distributed())
        self.model.train()
        try:
            with StopRequest(self.reporter) as stop, self.reporter.progress("training", steps, "steps") as bar:
                bar.advance(self.step)
                for batch in window.timed(self._batches(self.step, steps)):
                    rate = self._rate()
                    losses = self._train_step(batch, rate)
                    self.step += 1
                    if not bool(losses["loss"].isfinite()):
                        raise diverged(float(losses["loss"]), self.step, from_the_start=self.step == 1)
                    window.add(losses)
                    note = ""
                    if self.step % config.run.log_every == 0 or self.step == steps:
                        row = {"step": self.step, "lr": rate, **window.close()}
                        log.write(row)
                        note = f"loss {row['loss']:.3f}"
                    bar.advance(1, note)
                    if self.step < steps and stop.requested:
                        self.save()
                        raise InterruptedRunError(f"stopped at step {self.step}")
                    if self.step < steps and self.step % config.run.save_every == 0:
                        self.save()
            self._measure_statistics()
            self.save()
            if stop.requested:
                raise InterruptedRunError(f"stopped after step {self.step}, the last")
        finally:
            log.close()

    def _batches(self, start: int, end: int) -> Iterator[list[Example]]:
        """The batches of these steps, each image mirrored or not; steps beyond the last serve the statistics."""
        config, per_epoch = self.config.run, self.plan.steps_per_epoch

        def order() -> Iterator[list[int]]:
            epoch, chosen = -1, []
            for step in range(start, end):
                if step // per_epoch != epoch:
                    epoch = step // per_epoch
                    chosen = batches.epoch_batches(len(self.examples), config.batch_size, seed=config.seed, epoch=epoch)
                yield chosen[step % per_epoch].tolist()

        loaded = load_batches(self.examples, order(), self.config.data.workers)
        for step, examples in enumerate(loaded, start):
            generator = seeds.step_generator(config.seed, seeds.VIEWS, step, 0, torch.device("cpu"))
            turned = torch.rand(len(examples), generator=generator) < 0.5
            yield [mirrored(each) if turn else each for each, turn in zip(examples, turned.tolist(), strict=True)]

    def _rate(self) -> float:
        schedule, base = self.config.schedule, self.config.optimizer.lr
        warmup = min(schedule.warmup_steps, schedule.steps // 10)
        return warmup_drops(
            self.step, steps=schedule.steps, warmup=warmup, base=base, start=schedule.warmup_from * base,
            drops=schedule.drops,
        )  # fmt: skip

    def _losses(self, batch: list[Example]) -> dict[str, Tensor]:
        device = self.plan.device
        images = [image.to(device, non_blocking=True) / 255 for image, _ in batch]
        targets = [{name: value.to(device, non_blocking=True) for name, value in target.items()} for _, target in batch]
        with autocast(device, self.config.run.precision):
            losses: dict[str, Tensor] = self.model(images, targets)
        return losses

    def _train_step(self, batch: list[Example], rate: float) -> dict[str, Tensor]:
        """Forward, backward, update; returns the losses."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = self._losses(batch)
        loss = torch.stack([*losses.values()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach(), **{name: value.detach() for name, value in losses.items()}}

    @torch.no_grad()
    def _measure_statistics(self) -> None:
        """Batch norm's mean and variance as means over batches of the last weights (Wu & Johnson, 2021, Sec. 3)."""
        count, steps = self.config.schedule.precise_batches, self.config.schedule.steps
        norms = [module for module in self.model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        if not count or not norms:
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all it sees
        with self.reporter.progress("batch norm", count, "batches") as bar:
            for batch in self._batches(steps, steps + count):
                self._losses(batch)
                bar.advance()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """All parameters; those of batch norm do not decay, as in detectron2."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    free = {id(parameter) for norm in norms for parameter in norm.parameters()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [each for each in trained if id(each) not in free], "weight_decay": weight_decay},
        {"params": [each for each in trained if id(each) in free], "weight_decay": 0.0},
    ]
