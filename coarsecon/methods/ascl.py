"""ASCL: near neighbors of the key attract like the key itself, weighted by confidence; needs no labels.

Feng & Patras, ICPR 2022 (arXiv 2207.11163).
"""

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from coarsecon.config import Count, Positive
from coarsecon.errors import InputError
from coarsecon.losses import ascl_byol_loss, ascl_loss
from coarsecon.losses.precision import to_float32
from coarsecon.methods.base import Setup
from coarsecon.methods.momentum import MomentumContrast, MomentumSettings
from coarsecon.nn.heads import predictor


class ASCL(MomentumContrast):
    """Adaptive soft contrastive learning, on MoCo with its queue or on BYOL with a predictor."""

    needs_labels = False

    class Config(MomentumSettings):
        """Settings of ASCL."""

        base: Literal["moco", "byol"] = Field(
            "moco", description="Base method: moco compares with a queue, byol predicts within the batch."
        )
        kind: Literal["ascl", "ahcl", "hard"] = Field(
            "ascl", description="Weights of the neighbors; byol supports only ascl."
        )
        neighbors: Count = Field(1, description="Number of neighbors that attract.")
        t: Positive = Field(0.05, description="Temperature of the distribution over neighbors.")
        dim: Count = Field(128, description="Dimension of the projection.")
        hidden: Count | None = Field(2048, description="Width of the projector's hidden layer.")

    defaults: ClassVar[dict[str, Any]] = {"optimizer": {"lr": 0.03}}
    max_queue_size = 4096

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.mean_loss = self.uses_queue
        self.predictor = predictor(config.dim, 512) if config.base == "byol" else nn.Identity()
        self._shuffles = self._shuffles and self.uses_queue  # the published BYOL branch does not shuffle its keys

    @property
    def uses_queue(self) -> bool:
        """True on the MoCo base."""
        return bool(self.config.base == "moco")

    @classmethod
    def resolve(cls, config: Any, *, image_size: int, images: int, classes: int) -> Any:
        """Resolve as in `MomentumContrast`.

        Raises:
            InputError: The BYOL base with another kind than ascl.
        """
        if config.base == "byol" and config.kind != "ascl":
            raise InputError(
                "method.kind", f"{config.kind} is not defined for method.base=byol", "set method.base to moco"
            )
        return super().resolve(config, image_size=image_size, images=images, classes=classes)

    @classmethod
    def auto_views(cls, image_size: int) -> tuple[str, str]:
        """Return strong queries with jitter and blur, and weak keys."""
        return "simclr-blur", "weak"

    def loss(self, q: Tensor, k: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """Compute `ascl_loss` against the queue, or `ascl_byol_loss` within the batch."""
        c = self.config
        if c.base == "byol":
            p, k = self.comm.gather_with_gradient(to_float32(self.predictor(q))), self.comm.gather(k)
            return ascl_byol_loss(p, k, t2=c.t, num_neighbors=c.neighbors)
        return ascl_loss(q, k, self.queue.keys, t1=c.t0, t2=c.t, num_neighbors=c.neighbors, kind=c.kind)
