"""The encoder to export, and the check that what was written computes the same features."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.errors import CoarseconError
from coarsecon.nn.encoder import Encoder, plain_state
from coarsecon.run.restore import open_encoder
from coarsecon.views.batch import ImageBatch

if TYPE_CHECKING:
    from coarsecon.run.facade import Run

COMPARED_BATCH_SIZES = (1, 3)


def encoder_of(run: "Run") -> Encoder:
    """Load the encoder of a run on the CPU.

    Raises:
        InputError: The run has no such encoder.
    """
    encoder = open_encoder(run.folder, run.spec.checkpoint)
    encoder.backbone.to(memory_format=torch.contiguous_format)
    return encoder


def weights_of(encoder: Encoder) -> dict[str, Tensor]:
    """Return the weights of the backbone by timm's names."""
    return plain_state(encoder.backbone)


def write_card(encoder: Encoder, folder: Path) -> None:
    """Write the input transform, which goes wherever the weights go."""
    text = json.dumps(encoder.card.model_dump(mode="json"), indent=2)
    (folder / "encoder.json").write_text(text, encoding="utf-8")


def random_images(encoder: Encoder, count: int) -> Tensor:
    """Return random images uint8 [count, 3, S, S] of the encoder's size, the same at each call."""
    size = encoder.card.input.size
    return torch.randint(0, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(0)).byte()


def inputs_of(encoder: Encoder, images: Tensor) -> Tensor:
    """Return what the backbone is given for uint8 images that are resized and cropped: normalized and filtered."""
    return encoder.inputs(ImageBatch.full(images), whole=True)


@torch.no_grad()
def compare(encoder: Encoder, tool: str, embed: Callable[[Tensor], Tensor], tolerance: float) -> str:
    """Compare the L2-normalized features by `embed`, for uint8 images [N, 3, S, S], with those of the encoder.

    Returns:
        The largest difference, in words.

    Raises:
        CoarseconError: It exceeds `tolerance`.
    """
    largest = 0.0
    for count in COMPARED_BATCH_SIZES:
        images = random_images(encoder, count)
        wanted = F.normalize(encoder.features(ImageBatch.full(images), whole=True), dim=1)
        found = F.normalize(embed(images).float(), dim=1)
        largest = max(largest, float((found - wanted).abs().max()) if found.shape == wanted.shape else float("inf"))
    if not largest <= tolerance:
        raise CoarseconError(tool, f"features differ by {largest:.1e} from those of the run; nothing was written")
    return f"features equal to the run's within {largest:.0e}" if largest else "exactly the run's features"
