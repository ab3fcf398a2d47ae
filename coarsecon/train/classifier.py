"""A linear classifier learnt from random views, on the frozen backbone or together with it (fine-tuning)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import Split
from coarsecon.errors import CoarseconError
from coarsecon.nn.encoder import Encoder
from coarsecon.runtime import seeds
from coarsecon.runtime.device import autocast, choose_precision
from coarsecon.runtime.progress import Reporter
from coarsecon.train import batches
from coarsecon.train.linear_probe import MOMENTUM, PRESETS, Scores, cosine, labelled, last_and_best, top_scores
from coarsecon.views.base import View
from coarsecon.views.batch import ImageBatch
from coarsecon.views.filters import apply_filter
from coarsecon.views.geometry import RandomResizedCrop

BATCH = 250


@dataclass(frozen=True)
class ClassifierSettings:
    """SGD with momentum 0.9; `rate` maps the share of the epochs done to a multiple of both learning rates.

    The backbone is frozen where `backbone_lr` is 0. `scale` is the share of the image's area that a random crop
    takes; half of the crops are mirrored.
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
    """How a paper of `PRESETS` trains a classifier on the frozen backbone."""
    paper = PRESETS[preset]
    return ClassifierSettings(
        paper.lr, 0.0, paper.epochs, paper.batch_size, 0.0, paper.nesterov, paper.scale, paper.rate, by_epoch=True
    )


FINETUNING = ClassifierSettings(
    lr=0.1, backbone_lr=0.01, epochs=20, batch_size=64, weight_decay=1e-4, nesterov=True, scale=(0.2, 1.0),
    rate=cosine, by_epoch=False,
)  # fmt: skip
"""A tenth of the classifier's rate for the backbone, which knows much already; the views are the run's weak ones."""


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
    """Top-1 and top-5 on `test` of a classifier learnt from random views of `train`, at the last and the best epoch.

    Labels [N] and [M] are integers, -1 where unknown (left out). The classifier sees the pooled features as the
    backbone gives them, as in the papers. A frozen backbone stays in evaluation mode; else `encoder` is trained, and
    changed. The best epoch is picked on the test images, as the papers do.

    Raises:
        InputError: no label is known, or an image cannot be read.
        CoarseconError: the loss became infinite or not a number.
    """
    known, measured = labelled(train_labels, "training image"), labelled(test_labels, "image to measure on")
    trainer = _Trainer(encoder, int(train_labels.max()) + 1, settings, device, seed)
    order = _Images(train, known, train_labels[known], device, workers)
    judged = _Images(test, measured, test_labels[measured], device, workers)
    fixed = None if settings.backbone_lr else judged.features(encoder)
    scores: list[Scores] = []
    with (reporter or Reporter()).progress("classifier", settings.epochs * trainer.seen_in_epoch(order)) as bar:
        for epoch in range(settings.epochs):
            loss = trainer.train_epoch(order, epoch, bar.advance)
            if not math.isfinite(loss):
                raise CoarseconError(f"the loss is {loss} in epoch {epoch + 1}; pass a lower --lr")
            features = judged.features(encoder) if fixed is None else fixed
            scores.append(top_scores(trainer.head_weights(), features, judged.labels))
            bar.advance(0, f"epoch {epoch + 1}/{settings.epochs}, loss {loss:.3f}, top-1 {scores[-1]['top1']:.1%}")
    counts = {"queries": len(measured), "classes": len(judged.labels.unique()), "train_images": len(known)}
    rates = {"lr": settings.lr, "backbone_lr": settings.backbone_lr, "epochs": settings.epochs}
    return {**last_and_best(scores), **rates, **counts, "batch_size": trainer.batch_size(order), "seed": seed}


class _Images:
    """The labelled images of a split: their places, their labels and a loader."""

    def __init__(self, split: Split, places: Tensor, labels: Tensor, device: torch.device, workers: int) -> None:
        self.places, self.labels = places, labels.to(device)
        self.loader = ImageLoader(split, device, workers)

    def features(self, encoder: Encoder) -> Tensor:
        """Pooled features [M, D] of the images as they are, not normalised."""
        return torch.cat([encoder.features(batch) for batch in self.loader.batches(self.places.split(BATCH))])


class _Trainer:
    """A backbone with a linear head, and their optimiser."""

    def __init__(
        self, encoder: Encoder, classes: int, settings: ClassifierSettings, device: torch.device, seed: int
    ) -> None:
        self.encoder, self.settings, self.device, self.seed = encoder, settings, device, seed
        self.head = nn.Linear(encoder.dim, classes, device=device)
        nn.init.zeros_(self.head.weight)  # the seed decides the order and the views alone
        nn.init.zeros_(self.head.bias)
        self.tunes = settings.backbone_lr > 0
        groups = [{"params": list(self.head.parameters()), "lr": settings.lr}]
        groups += [{"params": list(encoder.backbone.parameters()), "lr": settings.backbone_lr}] * self.tunes
        self.optimizer = torch.optim.SGD(
            groups, momentum=MOMENTUM, weight_decay=settings.weight_decay, nesterov=settings.nesterov
        )
        card = encoder.card.input
        self.view = View(card.size, card.mean, card.std, RandomResizedCrop(scale=settings.scale, flip=0.5))
        self.precision = choose_precision("auto", device) if self.tunes else "float32"

    def batch_size(self, images: _Images) -> int:
        """That of the settings, or all images where they are fewer."""
        return min(self.settings.batch_size, len(images.places))

    def seen_in_epoch(self, images: _Images) -> int:
        """Images in the full batches of an epoch."""
        return len(images.places) // self.batch_size(images) * self.batch_size(images)

    def train_epoch(self, images: _Images, epoch: int, advance: Callable[[int], None]) -> float:
        """One pass over the images; the mean loss."""
        settings = self.settings
        order = batches.epoch_batches(len(images.places), self.batch_size(images), seed=self.seed, epoch=epoch)
        loader = images.loader.batches(images.places[indices] for indices in order)
        total = torch.zeros((), device=self.device)
        self.encoder.backbone.train(self.tunes)
        for step, (batch, indices) in enumerate(zip(loader, order, strict=True)):
            progress = (epoch if settings.by_epoch else epoch + step / len(order)) / settings.epochs
            for group, rate in zip(self.optimizer.param_groups, (settings.lr, settings.backbone_lr), strict=False):
                group["lr"] = rate * settings.rate(progress)
            place = epoch * len(order) + step
            generator = seeds.step_generator(self.seed, seeds.VIEWS, place, 0, self.device)
            with autocast(self.device, self.precision):
                features = self._features(batch, generator)
                loss = F.cross_entropy(self.head(features).float(), images.labels[indices.to(self.device)])
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            total += loss.detach()
            advance(len(batch))
        self.encoder.backbone.eval()
        return float(total) / len(order)

    def head_weights(self) -> Tensor:
        """The head as `accuracies` takes it, weights [1, D + 1, C]."""
        return torch.cat([self.head.weight.T, self.head.bias[None]]).detach()[None]

    def _features(self, batch: ImageBatch, generator: torch.Generator) -> Tensor:
        with torch.set_grad_enabled(self.tunes):
            images = apply_filter(self.encoder.card.input.filter, self.view(batch, generator))
            features: Tensor = self.encoder.backbone(images.contiguous(memory_format=torch.channels_last))
            return features
