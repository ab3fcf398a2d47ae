"""What is exported: a run's encoder, and the proof that what was made of it gives the same features."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.config import Checkpoint
from coarsecon.errors import CoarseconError
from coarsecon.nn.encoder import plain_state
from coarsecon.run.folder import RunFolder
from coarsecon.run.restore import open_encoder
from coarsecon.views.batch import ImageBatch

BATCHES = (1, 3)
"""Sizes of the batches that are compared."""


class Subject:
    """The encoder of a run, on the CPU.

    Raises:
        InputError: the run has no such encoder.
    """

    def __init__(self, run: RunFolder, which: Checkpoint = "last") -> None:
        self.run, self.which = run, which
        self.encoder = open_encoder(run, which)
        self.card = self.encoder.card
        self.encoder.backbone.to(memory_format=torch.contiguous_format)

    def state(self) -> dict[str, Tensor]:
        """The backbone's weights by timm's names."""
        return plain_state(self.encoder.backbone)

    def write_card(self, folder: Path) -> None:
        """The input transform, which goes wherever the weights go."""
        (folder / "encoder.json").write_text(json.dumps(self.card.model_dump(mode="json"), indent=2), encoding="utf-8")

    def images(self, count: int) -> Tensor:
        """Random images uint8 [count, 3, S, S], the same at each call."""
        side = self.card.input.size
        return torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(0)).byte()

    def inputs(self, images: Tensor) -> Tensor:
        """What the backbone is shown of uint8 images: normalised and filtered."""
        return self.encoder.inputs(ImageBatch.full(images))

    @torch.no_grad()
    def compare(self, what: str, embed: Callable[[Tensor], Tensor], tolerance: float) -> str:
        """How near unit features by `embed` are to the encoder's, for uint8 images [N, 3, S, S]: in words.

        Raises:
            CoarseconError: it exceeds `tolerance`.
        """
        worst = 0.0
        for count in BATCHES:
            images = self.images(count)
            wanted = self.encoder.embed(ImageBatch.full(images))
            found = F.normalize(embed(images).float(), dim=1)
            worst = max(worst, float((found - wanted).abs().max()) if found.shape == wanted.shape else float("inf"))
        if not worst <= tolerance:
            raise CoarseconError(
                f"{what} gives features that differ by {worst:.1e} from the run's; nothing was written"
            )
        return f"features equal to the run's within {worst:.0e}" if worst else "exactly the run's features"
