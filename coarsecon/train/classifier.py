"""A linear classifier trained on random views, on the frozen backbone or together with it (fine-tuning)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import Split
from coarsecon.nn.encoder import Encoder
from coarsecon.runtime.device import autocast, choose_precision
from coarsecon.runtime.progress import Reporter
from coarsecon.train.heads import MOMENTUM, Scores, cosine, labeled, last_and_best, top_scores
from coarsecon.train.linear_probe import PRESETS
from coarsecon.train.loop import Loop
from coarsecon.train.task import Length, Task, Timed
from coarsecon.train.view_source import ViewBatch, ViewSource
from coarsecon.views.base import View
from coarsecon.views.filters import apply_filter
from coarsecon.views.geometry import RandomResizedCrop

BATCH = 250
"""Images embedded at once for an evaluation."""


@dataclass(frozen=True)
class ClassifierSettings:
    """SGD with momentum 0.9.

    Args:
        lr: Learning rate of the classifier.
        backbone_lr: Learning rate of the backbone; 0 freezes it.
        scale: Fraction of the image's area in a random crop; half of the crops are mirrored.
        rate: Maps the fraction of the training done to a multiple of both learning rates.
        by_epoch: Whether that fraction is counted in epochs, not in steps.
    """

    lr: float
    backbone_lr: float
    epochs: int
    batch_size: int
    weight_decay: float
    nesterov: bool
    scale: tuple[float, float]
    rate: Callable[[float], float]
    by_epoch: bool


def paper_settings(preset: str) -> ClassifierSettings:
    """Return the settings with which a paper of `PRESETS` trains a classifier on the frozen backbone."""
    paper = PRESETS[preset]
    return ClassifierSettings(
        paper.lr, 0.0, paper.epochs, paper.batch_size, 0.0, paper.nesterov, paper.scale, paper.rate, by_epoch=True
    )


FINETUNING = ClassifierSettings(
    lr=0.1, backbone_lr=0.01, epochs=20, batch_size=64, weight_decay=1e-4, nesterov=True, scale=(0.2, 1.0),
    rate=cosine, by_epoch=False,
)  # fmt: skip
"""A tenth of the classifier's learning rate for the pretrained backbone, on the runs' weak views."""


class LabeledImages(NamedTuple):
    """Images with their labels [N], all known."""

    split: Split
    labels: Tensor

    @classmethod
    def known(cls, split: Split, labels: Tensor, what: str) -> Self:
        """Select the images whose label is known; raises as `labeled` does."""
        indices = labeled(labels, what)
        return cls(split if len(indices) == len(split) else split.take(indices), labels[indices])  # `take` copies


def view_probe(
    encoder: Encoder,
    train: Split,
    train_labels: Tensor,
    test: Split,
    test_labels: Tensor,
    settings: ClassifierSettings,
    *,
    device: torch.device,
    workers: int = 0,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train a classifier on random views of `train`; return top-1 and top-5 on `test` at the last and the best epoch.

    The classifier sees the pooled features without normalization, as in the papers. A frozen backbone stays in
    evaluation mode; otherwise `encoder` is trained in place. The best epoch is chosen on the test images, as the
    papers do.

    Args:
        train_labels: Labels [N], -1 where unknown (left out).
        test_labels: Labels [M], -1 where unknown (left out).

    Raises:
        InputError: No label is known, or an image cannot be read.
        CoarseconError: The loss became infinite or NaN.
    """
    shown = LabeledImages.known(train, train_labels, "training image")
    measured = LabeledImages.known(test, test_labels, "test image")
    task = ClassifierTask(
        encoder, shown, measured, settings, device=device, workers=workers, seed=seed, reporter=reporter
    )
    Loop(task).run_to_end()
    counts = {
        "queries": len(measured.labels), "classes": len(measured.labels.unique()), "train_images": len(shown.labels),
    }  # fmt: skip
    rates = {"lr": settings.lr, "backbone_lr": settings.backbone_lr, "epochs": settings.epochs}
    return {**last_and_best(task.scores), **rates, **counts, "batch_size": task.length.batch_size, "seed": seed}


class ClassifierTask(Task[ViewBatch]):
    """A linear head on an encoder's backbone, evaluated on all test images after every epoch."""

    title = "classifier"
    learning_rate_name = "the learning rate"

    def __init__(
        self,
        encoder: Encoder,
        train: LabeledImages,
        test: LabeledImages,
        settings: ClassifierSettings,
        *,
        device: torch.device,
        workers: int,
        seed: int,
        reporter: Reporter | None,
    ) -> None:
        self.encoder, self.settings, self.device = encoder, settings, device
        self.head = nn.Linear(encoder.dim, int(train.labels.max()) + 1, device=device)
        nn.init.zeros_(self.head.weight)  # so that the seed decides only the order and the views
        nn.init.zeros_(self.head.bias)
        self.is_tuned = settings.backbone_lr > 0
        groups: list[dict[str, Any]] = [{"params": list(self.head.parameters()), "lr_scale": settings.lr}]
        if self.is_tuned:
            groups.append({"params": list(encoder.backbone.parameters()), "lr_scale": settings.backbone_lr})
        optimizer = torch.optim.SGD(
            groups, lr=1.0, momentum=MOMENTUM, weight_decay=settings.weight_decay, nesterov=settings.nesterov
        )
        batch_size = min(settings.batch_size, len(train.labels))
        steps = len(train.labels) // batch_size
        length = Length(settings.epochs, steps, batch_size, log_every=steps)
        super().__init__(self.head, optimizer, length, reporter=reporter)
        card = encoder.card.input
        crop = RandomResizedCrop(scale=settings.scale, flip=0.5, interpolation=card.interpolation)
        view = View(card.size, card.mean, card.std, crop)
        self.source = ViewSource(
            *train, {"view": view}, batch_size=batch_size, seed=seed, device=device, workers=workers
        )
        self.precision = choose_precision("auto", device) if self.is_tuned else "float32"
        self.test, self.test_labels = ImageLoader(test.split, device, workers), test.labels.to(device)
        self.fixed = None if self.is_tuned else self.test_features()
        self.scores: list[Scores] = []

    def batches(self, epoch: int, done: int, timed: Timed) -> Iterator[ViewBatch]:
        """Draw the views of an epoch."""
        self.encoder.backbone.train(self.is_tuned)
        return self.source.epoch(epoch, done, timed)

    def losses(self, batch: ViewBatch) -> dict[str, Tensor]:
        """Compute the cross-entropy."""
        views, labels = batch
        with autocast(self.device, self.precision):
            with torch.set_grad_enabled(self.is_tuned):
                images = apply_filter(self.encoder.card.input.filter, views["view"])
                features = self.encoder.backbone(images.contiguous(memory_format=torch.channels_last))
            return {"loss": F.cross_entropy(self.head(features).float(), labels)}

    def learning_rate(self, step: int) -> float:
        """Return the multiple of both learning rates."""
        epoch, per_epoch = divmod(step, self.length.steps_per_epoch)
        done = epoch if self.settings.by_epoch else epoch + per_epoch / self.length.steps_per_epoch
        return self.settings.rate(done / self.settings.epochs)

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Measure top-1 and top-5 on the test images."""
        self.encoder.backbone.eval()
        weights = torch.cat([self.head.weight.T, self.head.bias[None]]).detach()[None]
        features = self.test_features() if self.fixed is None else self.fixed
        self.scores.append(top_scores(weights, features, self.test_labels))
        return {}

    def test_features(self) -> Tensor:
        """Compute pooled features [M, D] of the test images."""
        batches = self.test.batches(torch.arange(len(self.test_labels)).split(BATCH))
        return torch.cat([self.encoder.features(batch) for batch in batches])
