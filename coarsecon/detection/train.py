"""Detector training: SGD on boxes and masks around a run's encoder, in a folder that resumes like a run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from coarsecon.detection.data import Example, Examples, load_batches, mirrored
from coarsecon.detection.spec import DetectionSpec
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.run.marks import encoder_mark
from coarsecon.runtime import seeds
from coarsecon.runtime.device import autocast
from coarsecon.runtime.progress import Reporter
from coarsecon.train.batches import epoch_batches
from coarsecon.train.log import Sink, start_log
from coarsecon.train.loop import Loop
from coarsecon.train.schedule import warmup_drops
from coarsecon.train.stopping import InterruptedRunError
from coarsecon.train.task import Length, Task, Timed

CONFIG = "detection.yaml"
"""Settings in a detector's folder, next to metrics.jsonl and checkpoints/last.pt as in a run."""

Batch = list[Example]


def train_detector(
    spec: DetectionSpec, folder: Path, *, resume: bool = False, reporter: Reporter | None = None
) -> GeneralizedRCNN:
    """Train a detector as specified in `folder`; with `resume`, continue from the last state there, bit for bit.

    Raises:
        InputError: The folder holds something else, or a training and `resume` is off, or another process trains there.
        CoarseconError: The loss became infinite or NaN.
        InterruptedRunError: A signal arrived; the state is saved.
    """
    check_folder(folder, resume=resume)
    with RunFolder(folder).locked():
        task = DetectorTask(spec, RunFolder(folder), reporter)
        loop = Loop(task)
        if resume:
            loop.load()
        if loop.progress.step < task.length.steps:
            loop.run_to_end()
        if loop.stop.requested:
            raise InterruptedRunError(f"stopped after step {loop.progress.step}, the last")
        return task.model


def check_folder(folder: Path, *, resume: bool) -> None:
    """Check that a training may start, or resume, in `folder`.

    Raises:
        InputError: It may not.
    """
    has_state = RunFolder(folder).checkpoint("last").exists()
    if resume and not has_state:
        raise InputError(folder, "holds no training to resume", "start one without resuming")
    if has_state and not resume:
        raise InputError(folder, "holds a training already", "resume it, or choose another folder")
    is_other = not RunFolder(folder).is_empty() and not (folder / CONFIG).exists()
    if folder.exists() and (not folder.is_dir() or is_other):
        raise InputError(folder, "holds something else", "choose a new folder, or a training to resume")


class DetectorTask(Task[Batch]):
    """A detector's training; for the loop, all its steps are a single epoch."""

    state_key = "model"
    model: GeneralizedRCNN

    def __init__(self, spec: DetectionSpec, folder: RunFolder, reporter: Reporter | None = None) -> None:
        self.spec, self.config = spec, spec.config
        self.encoder = encoder_mark(spec.run, spec.config.model.encoder)
        config, model = spec.config, spec.build()
        optimizer = torch.optim.SGD(
            parameter_groups(model, config.optimizer.weight_decay), lr=config.optimizer.lr,
            momentum=config.optimizer.momentum, nesterov=config.optimizer.nesterov,
        )  # fmt: skip
        run = config.run
        length = Length(1, config.schedule.steps, run.batch_size, run.log_every, run.save_every)
        super().__init__(model, optimizer, length, folder=folder, reporter=reporter)
        self.examples = Examples(spec.train.images, spec.classes)

    def batches(self, epoch: int, done: int, timed: Timed) -> Iterator[Batch]:
        """Load the batches of all steps that remain."""
        self.model.train()
        return timed(self.load_batches(done, self.length.steps))

    def load_batches(self, start: int, end: int) -> Iterator[Batch]:
        """Yield the batches of these steps, each image mirrored or not; precise BN uses steps after the last."""
        config, per_epoch = self.config.run, self.spec.steps_per_epoch

        def order() -> Iterator[list[int]]:
            epoch, chosen = -1, []
            for step in range(start, end):
                if step // per_epoch != epoch:
                    epoch = step // per_epoch
                    chosen = epoch_batches(len(self.examples), config.batch_size, seed=config.seed, epoch=epoch)
                yield chosen[step % per_epoch].tolist()

        loaded = load_batches(self.examples, order(), self.config.data.workers)
        for step, examples in enumerate(loaded, start):
            generator = seeds.step_generator(config.seed, seeds.VIEWS, step, 0, torch.device("cpu"))
            turned = torch.rand(len(examples), generator=generator) < 0.5
            yield [mirrored(each) if turn else each for each, turn in zip(examples, turned.tolist(), strict=True)]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses of the detector's parts and their sum."""
        device = self.spec.device
        images = [image.to(device, non_blocking=True) / 255 for image, _ in batch]
        targets = [{name: value.to(device, non_blocking=True) for name, value in target.items()} for _, target in batch]
        with autocast(device, self.config.run.precision):
            losses: dict[str, Tensor] = self.model(images, targets)
        return {"loss": torch.stack([*losses.values()]).sum(), **losses}

    def learning_rate(self, step: int) -> float:
        """Warm up linearly, then divide by 10 at each drop."""
        schedule, base = self.config.schedule, self.config.optimizer.lr
        warmup = min(schedule.warmup_steps, schedule.steps // 10)
        return warmup_drops(
            step, steps=schedule.steps, warmup=warmup, base=base, start=schedule.warmup_from * base,
            drops=schedule.drops,
        )  # fmt: skip

    def epoch_of(self, step: int) -> int:
        """Return the pass over the training images that a step belongs to."""
        return (step - 1) // self.spec.steps_per_epoch + 1

    def open_log(self, from_step: int) -> Sink:
        """Record the settings and open the log."""
        assert self.folder
        return start_log(self.folder, self.config, self.spec.device, from_step, self.folder.root / CONFIG)

    def origin(self) -> dict[str, Any]:
        """Return the fingerprint of the encoder that training started from."""
        return {"encoder": self.encoder}

    def check_origin(self, state: dict[str, Any]) -> None:
        """Refuse a state that started from another encoder."""
        if state.get("encoder") != self.encoder:
            raise InputError(
                self.spec.run.root,
                "cannot resume: its encoder differs from the one this detector started from",
                "choose another folder",
            )

    @torch.no_grad()
    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Recompute batch norm's statistics as means over batches (precise BN; Wu & Johnson, 2021, Sec. 3)."""
        count, steps = self.config.schedule.precise_batches, self.config.schedule.steps
        norms = [module for module in self.model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        if not count or not norms:
            return {}
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative mean
        with self.reporter.progress("batch norm", count, "batches") as bar:
            for batch in self.load_batches(steps, steps + count):
                self.losses(batch)
                bar.advance()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        return {}


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return all trained parameters, those of batch norm without weight decay, as in detectron2."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    free = {id(parameter) for norm in norms for parameter in norm.parameters()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [each for each in trained if id(each) not in free], "weight_decay": weight_decay},
        {"params": [each for each in trained if id(each) in free], "weight_decay": 0.0},
    ]
