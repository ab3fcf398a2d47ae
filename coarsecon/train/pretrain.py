"""Pre-training: one method on one prepared dataset, from a run specification to a run folder."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coarsecon.config import Checkpoint
from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import Split
from coarsecon.errors import InputError
from coarsecon.nn.average import WeightAverage
from coarsecon.nn.encoder import Encoder, InputTransform, read_card, save_encoder
from coarsecon.nn.weights import LoadedWeights
from coarsecon.pictures.grid import write_image_grid
from coarsecon.run.folder import RunFolder
from coarsecon.run.restore import open_encoder, save_heads, saved_modules
from coarsecon.runtime import seeds
from coarsecon.runtime.device import autocast, to_device
from coarsecon.runtime.distributed import Distributed
from coarsecon.runtime.documents import read_json_object
from coarsecon.runtime.progress import Reporter
from coarsecon.train import compiled, monitor
from coarsecon.train.accumulation import accumulation_notes, check_parts, split_batch
from coarsecon.train.batches import steps_at_once
from coarsecon.train.checkpoint import save_checkpoint
from coarsecon.train.distillation import distilled
from coarsecon.train.distributed_step import distributed_step
from coarsecon.train.log import Sink, start_log
from coarsecon.train.loop import Loop
from coarsecon.train.monitor import Monitored
from coarsecon.train.optimizer import build_optimizer
from coarsecon.train.resolve import RunSpec
from coarsecon.train.schedule import learning_rate
from coarsecon.train.task import Length, Task, Timed
from coarsecon.train.verdict import verdict
from coarsecon.train.view_source import ViewBatch, ViewSource
from coarsecon.views.batch import ImageBatch

PICTURED_IMAGES = 8
"""Images of the first batch in views.png."""


def pretrain(
    spec: RunSpec,
    root: Path,
    *,
    resume: bool = False,
    reporter: Reporter | None = None,
    comm: Distributed | None = None,
) -> RunFolder:
    """Train as specified into the run folder `root`; with `resume`, continue from its last state, bit for bit.

    Args:
        comm: The ranks that train together; only rank 0 reads and writes the folder.

    Raises:
        InputError: The folder holds a run already, another process trains there, the run to resume was trained on
            other images, or the batch size is not divisible by the number of ranks.
        CoarseconError: The loss became infinite or NaN.
        InterruptedRunError: A signal arrived; the state is saved.
    """
    run, comm, reporter = RunFolder(root), comm or Distributed(), reporter or Reporter()
    if spec.batch_size % comm.world_size:
        raise InputError(
            "run.batch_size", f"{spec.batch_size} must be divisible by the number of ranks ({comm.world_size})"
        )
    check_parts(spec, comm)
    with ExitStack() as held:
        has_state = comm.broadcast_object(lambda: _lock(run, resume, held))
        if has_state:
            spec = spec.restore(comm.broadcast_object(lambda: _saved_transform(spec, run)))
        training = Pretraining(spec, run, reporter, comm)
        loop = Loop(training)
        if has_state:
            loop.load()
        reporter.info(spec.summary() + (f" on {comm.world_size} ranks" if comm.world_size > 1 else ""))
        for note in (*spec.notes(), *accumulation_notes(training.method, spec)):
            reporter.info(note)
        loop.run_to_end()
        for line in training.verdict():
            reporter.info(line)
    return run


def _lock(run: RunFolder, resume: bool, held: ExitStack) -> bool:
    """Lock the run until `held` closes, and return whether it holds a state to resume from."""
    _has_state(run, resume)  # a folder that is not a run must not get a lock file either
    held.enter_context(run.locked())
    return _has_state(run, resume)


def _has_state(run: RunFolder, resume: bool) -> bool:
    root, has_state = run.root, run.checkpoint("last").exists()
    if has_state and not resume:
        raise InputError(root, "holds a run already", "resume it, or choose another folder")
    if run.encoder().exists() and not has_state:
        raise InputError(
            root,
            "holds an encoder without a training state",
            "choose another folder, and set backbone.weights to the encoder's file to continue from it",
        )
    if root.exists() and not root.is_dir():
        raise InputError(root, "is a file", "choose a folder")
    if not run.is_empty() and not run.config_file.exists():
        raise InputError(root, "holds other files", "choose a new folder, or a run to resume")
    return has_state


def _saved_transform(spec: RunSpec, run: RunFolder) -> InputTransform | None:
    """Return the input transform of the run, if it came from the initial weights, which may have moved since."""
    is_saved = spec.config.backbone.input_transform == "weights"
    return read_card(run.encoder().with_suffix(".json")).input if is_saved else None


class Pretraining(Task[ViewBatch]):
    """A method's training on batches of its views."""

    def __init__(self, spec: RunSpec, run: RunFolder, reporter: Reporter, comm: Distributed | None = None) -> None:
        comm = comm or Distributed()
        self.spec, self.config, self.device, self.run = spec, spec.config, spec.device, run
        self.initial_weights: dict[str, Any] | None = None
        self.frozen: Monitored | None = None
        self.trained: Monitored | None = None

        def note_weights(loaded: LoadedWeights) -> None:
            self.initial_weights = asdict(loaded)
            for line in loaded.lines():
                reporter.info(line)

        config, settings = spec.config, spec.config.run
        self.method = spec.build_method(comm, note_weights).train()
        self.average = WeightAverage(saved_modules(self.method), ema) if (ema := config.finetune.ema) else None
        step, self.initial = distilled(self.method, config.finetune.distill)
        if settings.compile:
            compiled.compile_networks(self.method, self.device)
        optimizer = build_optimizer(self.method, config.optimizer, self.device, layer_decay=config.finetune.layer_decay)
        length = Length(spec.epochs, spec.steps_per_epoch, spec.batch_size, settings.log_every)
        super().__init__(self.method, optimizer, length, folder=run, reporter=reporter, comm=comm)
        self.step = distributed_step(self.method, comm, step)
        self.source = ViewSource(
            spec.split, spec.split.labels[config.data.labels], self.method.views(), batch_size=spec.batch_size,
            seed=settings.seed, device=self.device, workers=config.data.workers, comm=comm, reporter=reporter,
            steps_at_once=1 if spec.split.files is not None  # files are decoded a batch at a time
            else steps_at_once(spec.batch_size // comm.world_size, spec.card.input.size, self.device),
        )  # fmt: skip
        self.images = spec.dataset.info.splits["train"].checksum

    def batches(self, epoch: int, done: int, timed: Timed) -> Iterator[ViewBatch]:
        """Draw the views of an epoch."""
        return self.source.epoch(epoch, done, timed)

    def parts(self, batch: ViewBatch) -> list[ViewBatch]:
        """Divide the views of this rank into run.accumulate parts."""
        return split_batch(batch, self.config.run.accumulate)

    def losses(self, batch: ViewBatch) -> dict[str, Tensor]:
        """Run the method's step."""
        if self.config.run.compile:
            torch.compiler.cudagraph_mark_step_begin()
        with autocast(self.device, self.config.run.precision):
            return self.step(*batch)

    def learning_rate(self, step: int) -> float:
        """Follow the run's schedule."""
        config = self.config
        return learning_rate(
            step, base=config.optimizer.lr, schedule=config.schedule, steps_per_epoch=self.length.steps_per_epoch
        )

    def open_log(self, from_step: int) -> Sink:
        """Record what the run started from."""
        weights = self.initial_weights or recorded_weights(self.run)
        return start_log(
            self.run, self.config, self.device, from_step, self.run.config_file, ranks=self.comm.world_size,
            initial_weights=weights, training_images=self.images,
        )  # fmt: skip

    def companions(self) -> dict[str, nn.Module]:
        """Save the average of the weights and the encoder to distill from, if there are any, for an exact resume."""
        return self.initial | ({} if self.average is None else {"ema": self.average})

    @property
    def evaluated(self) -> dict[str, nn.Module]:
        """The encoder and the heads that are evaluated and saved: averaged ones with `finetune.ema`."""
        return saved_modules(self.method) if self.average is None else self.average.modules_by_name()

    def before_training(self) -> None:
        """Draw the picture of the views, keep the initial encoder, and let the method prepare, e.g. fill its queue."""
        self.draw_picture()
        if self.config.backbone.starts_from_weights and self.comm.rank == 0:
            with self.run.writing() as new:
                save_encoder(self.method.encoder, self.spec.card, new.encoder("initial"))
        with autocast(self.device, self.config.run.precision):
            self.method.before_training(self.filling_batches())

    def initial_metrics(self) -> dict[str, float]:
        """Evaluate weights that the run starts from, if it is monitored."""
        if not (self.config.backbone.starts_from_weights and self.config.run.monitor_every):
            return {}
        self.frozen = self.evaluate(self.method.encoder)
        return self.frozen.metrics

    def after_step(self) -> None:
        """Update the average of the weights, and let the method update its queue."""
        if self.average is not None:
            self.average.update(saved_modules(self.method))
        self.method.after_step()

    @property
    def evaluations(self) -> int:
        """Every `run.monitor_every` epochs and after the last."""
        every = self.config.run.monitor_every
        return math.ceil(self.length.epochs / every) if every else 0

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Evaluate the embedding every `run.monitor_every` epochs and after the last."""
        every, done = self.config.run.monitor_every, epoch + 1
        if not every or (done % every and done != self.length.epochs):
            return {}
        self.trained = self.evaluate(self.evaluated["encoder"])
        return self.trained.metrics

    @cached_property
    def monitored(self) -> Split:
        """The images of every evaluation, which are chosen once."""
        return monitor.monitored_images(self.spec.dataset, self.config)

    def evaluate(self, backbone: nn.Module) -> Monitored:
        """Compute Recall@1, and kNN accuracy if configured, on the monitored images."""
        settings, workers = self.config.run, self.config.data.workers
        bank = ImageLoader(self.spec.split, self.device, workers) if settings.monitor_knn else None
        encoder = Encoder(backbone, self.spec.card)

        def embed(batch: ImageBatch) -> Tensor:
            with autocast(self.device, settings.precision), compiled.uncompiled(settings.compile):
                return encoder.embed(batch)

        return monitor.evaluate(embed, ImageLoader(self.monitored, self.device, workers), bank, self.comm)

    def verdict(self) -> list[str]:
        """Return lines that say whether training improved the weights that it started from, if both are monitored."""
        if self.trained is None or not self.config.backbone.starts_from_weights:
            return []
        if self.frozen is None:  # the run was resumed
            initial = self.comm.broadcast_object(self._saved_initial_encoder)
            if initial is None:
                return []
            self.frozen = self.evaluate(to_device(initial.backbone, self.device))
        name = monitor.monitored_description(self.spec.dataset, self.config.data.validation)
        return verdict(self.frozen.queries, self.trained.queries, name, level=self.config.data.labels)

    def _saved_initial_encoder(self) -> Encoder | None:
        """Return the initial encoder, on the CPU; None for a run of an earlier version, which has not kept it."""
        return open_encoder(self.run, "initial") if self.run.encoder("initial").is_file() else None

    def score(self, metrics: dict[str, float]) -> float:
        """Return the monitored metric that `run.best_by` names."""
        return monitor.best_score(metrics, self.config.run.best_by, self.config.data.labels)

    def stops_early(self, epoch: int, best_epoch: int) -> bool:
        """Return whether the last `run.patience` evaluations found no better checkpoint."""
        every, patience = self.config.run.monitor_every, self.config.run.patience
        return bool(every and patience) and best_epoch >= 0 and epoch // every - best_epoch // every >= patience

    def origin(self) -> dict[str, Any]:
        """Return the checksum of the training images."""
        return {"images": self.images}

    def check_origin(self, state: dict[str, Any]) -> None:
        """Refuse a state of other images; states of earlier versions do not hold their checksum."""
        if state.get("images", self.images) != self.images:
            raise InputError(
                self.spec.dataset.root,
                f"cannot resume: the dataset differs from the one {self.run.root} was trained on",
                "set data.path to that dataset, or start another run in another folder",
            )

    def write_state(self, state: dict[str, Any], checkpoint: Checkpoint) -> None:
        """Write the training state, the encoder and the method's heads together."""
        classes, heads = self.spec.dataset.info.levels[self.config.data.labels], dict(self.evaluated)
        encoder = heads.pop("encoder")
        with self.run.writing() as new:
            save_checkpoint(state, new.checkpoint(checkpoint))
            save_encoder(encoder, self.spec.card, new.encoder(checkpoint))
            save_heads(heads, classes, new.heads(checkpoint), encoder=new.encoder(checkpoint))

    def filling_batches(self) -> Iterator[ViewBatch]:
        """Yield batches to fill a queue with, at most once through the data."""
        with self.reporter.progress("before training") as bar:
            for views, labels in self.source.draw(self.source.order(0, seeds.FILLING), seeds.FILLING, 0):
                bar.advance(len(labels))
                yield views, labels

    def draw_picture(self) -> None:
        """Save the first images of the first batch with the views the method sees of them."""
        first = self.source.order(0)[: self.source.steps_at_once]
        columns = {"image": [self.spec.split.image(int(i)) for i in first[0][:PICTURED_IMAGES]]}
        views, _ = next(self.source.draw(first, seeds.VIEWS, 0))
        card = self.spec.card.input
        mean, std = (torch.tensor(values, device=self.device)[:, None, None] for values in (card.mean, card.std))
        with autocast(self.device, self.config.run.precision):
            shown = self.method.shown(views)
        for name, normalized in shown.items():
            pixels = 255 * (normalized[:PICTURED_IMAGES].float() * std + mean)
            columns[name] = list(pixels.round().clamp(0, 255).to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy())
        if self.comm.rank == 0:
            write_image_grid(self.run.views_picture, columns)


def recorded_weights(run: RunFolder) -> Any:
    """Return the record of the initial weights of a run that is resumed; None for random ones."""
    try:
        return read_json_object(run.environment_file).get("initial_weights")
    except (OSError, InputError):
        return None
