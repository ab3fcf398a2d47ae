"""Momentum contrast: base of methods that compare queries with keys of a momentum encoder."""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from coarsecon.config import Count, Fraction, Positive
from coarsecon.losses.precision import l2_normalize, to_float32
from coarsecon.methods.base import Method, MethodSettings, Setup, TrainingSizes
from coarsecon.nn.batch_norm import has_split_batch_norm
from coarsecon.nn.heads import projector
from coarsecon.nn.momentum import MomentumEncoder
from coarsecon.nn.queue import KeyQueue
from coarsecon.views.base import View
from coarsecon.views.presets import ViewName, default_views

Views = dict[str, Tensor]


class MomentumSettings(MethodSettings):
    """Settings of every momentum-contrast method."""

    t0: Positive = Field(0.1, description="Temperature of the logits.")
    queue_size: Count | None = Field(
        None, description="Number of keys in the queue (default: the method's, or half the images if that is less)."
    )
    momentum: Fraction = Field(0.99, description="Momentum of the key encoder (EMA).")
    dim: Count = Field(256, description="Dimension of the projection.")
    hidden: Count | None = Field(
        None, description="Width of the projector's hidden layer (default: that of the features)."
    )
    query_view: ViewName = Field("auto", description="View preset of the queries.")
    key_view: ViewName = Field("auto", description="View preset of the keys.")


class MomentumContrast(Method):
    """A query encoder, a momentum encoder for the keys, and a labeled key queue (He et al., CVPR 2020).

    A subclass implements `loss`, and overrides `uses_queue` if it stores keys in another way, or not at all. The
    momentum encoder is called `twin` in checkpoints.
    """

    class Config(MomentumSettings):
        """Settings of the family."""

    max_queue_size: ClassVar[int] = 8192
    """Default of `queue_size` for datasets with at least twice as many images."""

    mean_loss = True

    queue: KeyQueue

    def __init__(self, config: Any, setup: Setup) -> None:
        super().__init__(config, setup)
        self.projector = self.build_projector(config, setup)
        self.twin = MomentumEncoder(self.encoder, self.projector, momentum=config.momentum)
        if self.uses_queue:
            self.queue = KeyQueue(config.queue_size, config.dim)
        across_ranks = setup.shuffle_keys and setup.comm.world_size > 1
        self._shuffles = has_split_batch_norm(self.encoder) or across_ranks
        self._views = {"query": setup.view(config.query_view), "key": setup.view(config.key_view)}
        self._keys: list[tuple[Tensor, Tensor]] = []

    @property
    def uses_queue(self) -> bool:
        """True if keys are stored in `queue`."""
        return True

    def build_projector(self, config: Any, setup: Setup) -> nn.Module:
        """Build the head from features [N, F] to projections [N, D]."""
        return projector(setup.feature_dim, config.hidden, config.dim)

    @classmethod
    def resolve(cls, config: Any, *, image_size: int, images: int, classes: int) -> Any:
        """Replace `auto` views by presets, and choose the size of the queue."""
        query_view, key_view = cls.auto_views(image_size)
        return config.model_copy(
            update={
                "queue_size": config.queue_size
                or min(cls.max_queue_size, max(cls.images_per_queue(config, images, classes) // 2, 1)),
                "query_view": query_view if config.query_view == "auto" else config.query_view,
                "key_view": key_view if config.key_view == "auto" else config.key_view,
            }
        )

    @classmethod
    def images_per_queue(cls, config: Any, images: int, classes: int) -> int:
        """Return the number of training images whose keys one queue stores, of all `images` and `classes`."""
        return images

    @classmethod
    def small_data_notes(cls, config: Any, sizes: TrainingSizes) -> list[str]:
        """Warn also of a queue that is longer than half of its images."""
        notes, images = (
            super().small_data_notes(config, sizes),
            cls.images_per_queue(config, sizes.images, sizes.classes),
        )
        if config.queue_size > max(images // 2, 1):
            notes.append(
                f"method.queue_size ({config.queue_size}): more than half of the {images:,} images whose keys a queue "
                f"stores, so it holds old keys of the query's image; set it to {max(images // 2, 1)} or less"
            )
        return notes

    @classmethod
    def auto_views(cls, image_size: int) -> tuple[str, str]:
        """Return the presets of `auto` query and key views: strong and weak, as in MaskCon."""
        return default_views(image_size)

    @classmethod
    def for_evaluation(cls, config: Any) -> Any:
        """Use the shortest queue."""
        return super().for_evaluation(config).model_copy(update={"queue_size": 1})

    def views(self) -> dict[str, View]:
        """Return one query and one key view of each image."""
        return self._views

    def loss(self, q: Tensor, k: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of query projections q [N, D], key projections k [N, D] and query features [N, F]."""
        raise NotImplementedError  # a subclass computes it

    def step(self, views: Views, labels: Tensor) -> dict[str, Tensor]:
        """Update the momentum encoder, project both views, compare with the queue."""
        if not self._keys:  # once a step, also if the batch is computed in parts
            self.twin.update(self.encoder, self.projector)
        features = self.encoder(views["query"])
        q = self.projector(features)
        k = self.project_keys(views["key"])
        self._keys.append((k, labels))
        return {
            "loss": self.loss(q, k, features, labels),
            **self._similarities(l2_normalize(to_float32(q.detach())), l2_normalize(k)),
        }

    def project_keys(self, images: Tensor) -> Tensor:
        """Compute key projections [N, D] in float32 of key views [N, 3, S, S].

        If batch norm works in groups or on several ranks, the global batch is shuffled before the momentum encoder and
        restored after it, so that a key and its query have different statistics (He et al., CVPR 2020, Sec. 3.3).
        """
        if not self._shuffles:
            return to_float32(self.twin(images))
        global_images = self.comm.gather(images)
        order = self.comm.gather(torch.randperm(len(global_images), device=images.device))[: len(global_images)]
        own = self.comm.shard(len(global_images))
        shuffled = global_images[order[own]].contiguous(memory_format=torch.channels_last)
        return self.comm.gather(to_float32(self.twin(shuffled)))[order.argsort()[own]]

    @torch.no_grad()
    def _similarities(self, queries: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Compute scalars to log: mean similarity to the own key and to the queue, and the fill of the queue."""
        own = {"positive_similarity": (queries * keys).sum(1).mean()}
        if not self.uses_queue:
            return own
        return {
            **own,
            "negative_similarity": queries.mean(0) @ self.queue.keys.mean(0),
            "queue_fill": self.queue.written / self.queue.size,
        }

    def before_training(self, batches: Iterator[tuple[Views, Tensor]]) -> None:
        """Fill the memory with real keys, as far as there are batches."""
        while not self.memory_is_full():
            batch = next(batches, None)
            if batch is None:
                break
            views, labels = batch
            self.remember(self.comm.gather(self.project_keys(views["key"])), self.comm.gather(labels))

    def after_step(self) -> None:
        """Enqueue the keys of the step."""
        keys, labels = (torch.cat(parts) for parts in zip(*self._keys, strict=True))
        self.remember(self.comm.gather(keys), self.comm.gather(labels))
        self._keys = []

    def remember(self, keys: Tensor, labels: Tensor) -> None:
        """Store keys [N, D], not normalized, with their labels [N] for later steps."""
        if self.uses_queue:
            self.queue.enqueue(l2_normalize(keys), labels)

    def memory_is_full(self) -> bool:
        """Return True if every entry of the memory is a real key."""
        return not self.uses_queue or self.queue.filled == self.queue.size
