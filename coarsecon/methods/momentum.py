"""Momentum contrast: the base of MoCo, MaskCon, Grafit and CoIns, which differ in their loss alone."""

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from coarsecon.config import Count, Fraction, Positive
from coarsecon.losses.precision import unit
from coarsecon.methods.base import Method, MethodSettings, Setup, resolve_view
from coarsecon.nn.heads import projector
from coarsecon.nn.momentum import MomentumTwin
from coarsecon.nn.queue import KeyQueue
from coarsecon.views.base import View

Views = dict[str, Tensor]


class MomentumSettings(MethodSettings):
    """What every momentum-contrast method can be told."""

    t0: Positive = Field(0.1, description="temperature of the logits")
    queue_size: Count | None = Field(None, description="keys in the queue; default: 8192, or half the images if fewer")
    momentum: Fraction = Field(0.99, description="of the key encoder's moving average")
    dim: Count = Field(256, description="width of the projection")
    hidden: Count | None = Field(None, description="width of the projector's hidden layer; default: the features'")
    query_view: str = Field("auto", description="view recipe of the queries")
    key_view: str = Field("auto", description="view recipe of the keys")


class MomentumContrast(Method):
    """A query encoder, its momentum twin for the keys, and a labelled key queue (He et al., CVPR 2020).

    A subclass gives `loss`.
    """

    class Config(MomentumSettings):
        """Settings of the family."""

    def __init__(self, config: Any, setup: Setup) -> None:
        super().__init__(config, setup)
        self.projector = projector(setup.feature_dim, config.hidden, config.dim)
        self.twin = MomentumTwin(self.encoder, self.projector, momentum=config.momentum)
        self.queue = KeyQueue(config.queue_size, config.dim)
        self._views = {"query": setup.view(config.query_view), "key": setup.view(config.key_view)}
        self._keys: tuple[Tensor, Tensor] | None = None

    @classmethod
    def resolve(cls, config: Any, *, side: int, images: int) -> Any:
        """Name the views that `auto` stands for, strong queries and weak keys; choose the size of the queue."""
        return config.model_copy(
            update={
                "queue_size": config.queue_size or min(8192, max(images // 2, 1)),
                "query_view": resolve_view(config.query_view, side, strong=True),
                "key_view": resolve_view(config.key_view, side, strong=False),
            }
        )

    def views(self) -> dict[str, View]:
        """One query and one key view of each image."""
        return self._views

    def loss(self, q: Tensor, k: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """The scalar loss of query projections q [N, D], key projections k [N, D] and query features [N, F]."""
        raise NotImplementedError  # every method of the family has its own

    def step(self, views: Views, labels: Tensor) -> dict[str, Tensor]:
        """The family's step: move the twin, project both views, compare with the queue."""
        self.twin.update(self.encoder, self.projector)
        features = self.encoder(views["query"])
        q = self.projector(features)
        k = self.twin(views["key"])
        loss = self.loss(q, k, features, labels)
        keys = unit(k.float())
        self._keys = keys, labels
        return {"loss": loss, **self._similarities(unit(q.detach().float()), keys)}

    @torch.no_grad()
    def _similarities(self, queries: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """For the log: mean similarity to the own key and to the queue, and the queue's fill."""
        return {
            "positive_similarity": (queries * keys).sum(1).mean(),
            "negative_similarity": queries.mean(0) @ self.queue.keys.mean(0),
            "queue_fill": self.queue.written / self.queue.size,
        }

    def before_training(self, batches: Iterator[tuple[Views, Tensor]]) -> None:
        """Fill the queue with real keys, as far as the batches reach."""
        for views, labels in batches:
            self._enqueue(unit(self.twin(views["key"]).float()), labels)
            if self.queue.filled == self.queue.size:
                break

    def after_step(self) -> None:
        """Enqueue the step's keys."""
        assert self._keys is not None
        self._enqueue(*self._keys)
        self._keys = None

    def _enqueue(self, keys: Tensor, labels: Tensor) -> None:
        self.queue.enqueue(self.comm.gather(keys), self.comm.gather(labels))
