"""Pixels to embedding as one module that can be traced, for ONNX and `torch.export`."""

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coarsecon.errors import CoarseconError
from coarsecon.nn.encoder import Encoder
from coarsecon.views.blur import HIGH_PASS_KERNEL, HIGH_PASS_SIGMA, blur_matrices


class EmbeddingGraph(nn.Module):
    """Map resized and cropped images, uint8 [N, 3, S, S] in RGB, to L2-normalized float32 embeddings [N, D].

    Normalization and filter are part of it. Integer pixels rule out a wrong scale.
    """

    mean: Tensor
    std: Tensor
    blur: Tensor | None

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        recipe = encoder.card.input
        self.backbone = encoder.backbone
        self.register_buffer("mean", 255 * torch.tensor(recipe.mean)[:, None, None])
        self.register_buffer("std", 255 * torch.tensor(recipe.std)[:, None, None])
        blur = None
        if recipe.filter == "high-pass":
            blur = blur_matrices(torch.tensor([HIGH_PASS_SIGMA]), recipe.size, HIGH_PASS_KERNEL)[0]
        self.register_buffer("blur", blur)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Embed uint8 images [N, 3, S, S] as L2-normalized float32 [N, D]."""
        x = (images.float() - self.mean) / self.std
        if self.blur is not None:
            x = x - self.blur @ x @ self.blur.T
        return F.normalize(self.backbone(x).float(), dim=1)


@contextlib.contextmanager
def untraceable(name: str) -> Iterator[None]:
    """Report in one line that torch cannot trace the network called `name`, which fails with many kinds of error."""
    try:
        yield
    except Exception as error:
        problem = f"torch cannot trace it ({type(error).__name__})"
        raise CoarseconError(f"backbone {name}", problem, "export to timm, which supports all backbones") from error
