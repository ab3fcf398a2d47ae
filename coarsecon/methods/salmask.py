"""Saliency-masked contrast: the query hides a few patches, hard negatives hide most of what is salient.

The masked query stays close to its key, so that no single patch decides; a view without its foreground is a negative,
so that the background does not suffice. Needs no labels.
Chin et al., WACV 2024 (arXiv 2309.12757).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from coarsecon.config import Count, Fraction, Positive
from coarsecon.errors import InputError
from coarsecon.losses import moco_loss
from coarsecon.losses.masked_simclr import masked_simclr_loss
from coarsecon.losses.precision import l2_normalize, to_float32
from coarsecon.methods.base import Setup
from coarsecon.methods.momentum import MomentumContrast, MomentumSettings, Views
from coarsecon.nn.momentum import MomentumEncoder
from coarsecon.nn.saliency import (
    STRIDE,
    Renormalization,
    check_extractor,
    create_extractor,
    find_foreground,
    saliency_map,
    statistics_of,
)
from coarsecon.views.filters import InputFilter, apply_filter
from coarsecon.views.masking import HARD_NEGATIVE, POSITIVE, Strategy, mask_images, patch_grid


class Masked(NamedTuple):
    """Inputs of the encoders."""

    query: Tensor
    """[N, 3, S, S], masked."""
    key: Tensor
    """[N, 3, S, S]"""
    negatives: Tensor
    """[N, M, 3, S, S], made from the key view."""


class SalMask(MomentumContrast):
    """MoCo or SimCLR with a saliency-masked query and hard negatives per query."""

    class Config(MomentumSettings):
        """Settings of saliency-masked contrast."""

        base: Literal["moco", "simclr"] = Field(
            "moco",
            description="Base method: moco has a momentum encoder and a queue, simclr contrasts within the batch.",
        )
        strategy: Strategy = Field(
            "hp", description="Masked patches: noise on high-pass filtered views (hp), the blurred view, or its mean."
        )
        saliency: str = Field(
            "momentum",
            description="Network for saliency: momentum (the momentum encoder), or the name of a timm model.",
        )
        saliency_pretrained: bool = Field(True, description="Load timm's weights into the saliency model.")
        saliency_weights: Path | None = Field(None, strict=False, description="Checkpoint file of the saliency model.")
        saliency_stem: Literal["standard", "small"] = Field(
            "standard", description="Stem of the saliency model; a standard one takes small views enlarged."
        )
        hard_negatives: Count = Field(1, description="Number of hard negatives per query.")
        alpha: Positive = Field(
            1.0, description="Weight of the similarity to a hard negative; 2 in the published code."
        )
        t0: Positive = Field(0.2, description="Temperature of the logits.")
        momentum: Fraction = Field(0.999, description="Momentum of the key encoder (EMA).")
        dim: Count = Field(128, description="Dimension of the projection.")

    defaults: ClassVar[dict[str, Any]] = {
        "optimizer": {"lr": 0.015, "weight_decay": 1e-4},
        "schedule": {"name": "cyclic", "cycles": 1},
    }
    """Those of MoCo v2 for a batch of 128; its cosine per epoch has no warmup."""
    needs_labels = False
    max_queue_size = 65536

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.mean_loss = self.uses_queue
        self.grid = patch_grid(setup.image_size)
        own, small = config.saliency == "momentum", config.saliency_stem == "small"
        self.saliency_image_size = setup.image_size if own or small else max(setup.image_size, STRIDE * self.grid)
        if not self.uses_queue:  # the momentum encoder, if any, is only for saliency
            self.twin = MomentumEncoder(*([self.encoder] if own else []), momentum=config.momentum)
        self.extractor = None if own else create_extractor(
            config.saliency, image_size=self.saliency_image_size, pretrained=config.saliency_pretrained,
            weights=config.saliency_weights, stem=config.saliency_stem,
        )  # fmt: skip
        if self.extractor is not None:
            self.extractor_input = Renormalization()
            expected = statistics_of(
                config.saliency, pretrained=config.saliency_pretrained, weights=config.saliency_weights
            )
            if expected is not None:
                self.extractor_input.set((setup.mean, setup.std), expected)
        check_extractor(self.saliency_network, self.saliency_image_size)

    @property
    def uses_queue(self) -> bool:
        """True on the MoCo base."""
        return bool(self.config.base == "moco")

    @property
    def saliency_network(self) -> nn.Module:
        """The network for saliency; receives no gradient."""
        return self.twin.copies[0] if self.extractor is None else self.extractor

    @classmethod
    def resolve(cls, config: Any, *, image_size: int, images: int, classes: int) -> Any:
        """Resolve as in `MomentumContrast`.

        Raises:
            InputError: Weights are set without a saliency model.
        """
        if config.saliency == "momentum" and config.saliency_weights is not None:
            raise InputError("method.saliency_weights", "needs a timm model", "set method.saliency to its name")
        return super().resolve(config, image_size=image_size, images=images, classes=classes)

    @classmethod
    def auto_views(cls, image_size: int) -> tuple[str, str]:
        """Return the presets of MoCo v2."""
        return "simclr-blur", "simclr-blur"

    @classmethod
    def input_filter(cls, config: Any) -> InputFilter:
        """Return the high-pass filter for the strategy hp."""
        return "high-pass" if config.strategy == "hp" else "none"

    @classmethod
    def for_restoring(cls, config: Any) -> Any:
        """Remove the weights of a separate saliency network, which are part of the state."""
        return config.model_copy(update={"saliency_pretrained": False, "saliency_weights": None})

    def step(self, views: Views, labels: Tensor) -> dict[str, Tensor]:
        """Mask, project queries, keys and each set of hard negatives in separate batches, and compare.

        On the SimCLR base all of them pass through the encoder and receive gradient.
        """
        masked = self.mask(views)
        if self.uses_queue and not self._keys:
            self.twin.update(self.encoder, self.projector)
        elif self.extractor is None and not self._keys:
            self.twin.update(self.encoder)
        project = self.project_keys if self.uses_queue else self._project
        q, k = self._project(masked.query), project(masked.key)
        hard = torch.stack([project(channels_last(negatives)) for negatives in masked.negatives.unbind(1)], dim=1)
        queries, keys = l2_normalize(to_float32(q.detach())), l2_normalize(to_float32(k.detach()))
        similarity = (queries[:, None] * l2_normalize(to_float32(hard.detach()))).sum(2)
        t, alpha = self.config.t0, self.config.alpha
        if self.uses_queue:
            loss = moco_loss(q, k, self.queue.keys, t=t, hard_negatives=hard, alpha=alpha)
        else:
            gathered = [self.comm.gather_with_gradient(to_float32(projections)) for projections in (q, k, hard)]
            loss = masked_simclr_loss(*gathered, t=t, alpha=alpha)
        self._keys.append((to_float32(k.detach()), labels))
        return {"loss": loss, "hard_similarity": similarity.mean(), **self._similarities(queries, keys)}

    def shown(self, views: Views) -> Views:
        """Return the masked query, the key, and the first hard negative."""
        masked = self.mask(views)
        return {"query": masked.query, "key": masked.key, "negative": masked.negatives[:, 0]}

    def before_training(self, batches: Iterator[tuple[Views, Tensor]]) -> None:
        """Fill the queue, if there is one, with keys of filtered views."""
        super().before_training((self.filtered(views), labels) for views, labels in batches)

    @torch.no_grad()
    def mask(self, views: Views) -> Masked:
        """Apply random masks to the views, from torch's global random state."""
        filtered = self.filtered(views)
        query, key = filtered["query"], filtered["key"]
        generator = torch.Generator(query.device).manual_seed(int(torch.randint(2**62, ())))
        in_query, in_key = self._foreground(views["query"], query), self._foreground(views["key"], key)
        count = self.config.hard_negatives
        with torch.autocast(query.device.type, enabled=False):
            positive = mask_images(query, in_query, POSITIVE, self.config.strategy, generator)
            negatives = mask_images(
                key.repeat_interleave(count, 0), in_key.repeat_interleave(count, 0),
                HARD_NEGATIVE, self.config.strategy, generator,
            )  # fmt: skip
        return Masked(channels_last(positive), key, negatives.unflatten(0, (len(key), count)))

    def filtered(self, views: Views) -> Views:
        """Filter the views by the input filter of the encoder."""
        name = self.input_filter(self.config)
        return {view: channels_last(apply_filter(name, images)) for view, images in views.items()}

    def _foreground(self, images: Tensor, filtered: Tensor) -> Tensor:
        """Find foreground patches [N, grid * grid].

        The momentum encoder sees filtered views, another network plain ones, normalized as its weights expect.
        """
        inputs = filtered if self.extractor is None else self.extractor_input(images)
        return find_foreground(
            saliency_map(self.saliency_network, inputs, self.grid, image_size=self.saliency_image_size)
        )

    def _project(self, images: Tensor) -> Tensor:
        projections: Tensor = self.projector(self.encoder(images))
        return projections


def channels_last(images: Tensor) -> Tensor:
    """Convert images [N, C, H, W] to the memory format that is fastest for convolutions."""
    return images.contiguous(memory_format=torch.channels_last)
