"""Heat maps of an embedding: the norm of what each location of the last feature map contributes.

The layers after the last feature map are applied to each location separately instead of after pooling, and the norm of
the output is the heat of the location, as in ANCOR (Bukchin et al., CVPR 2021).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from coarsecon import registry
from coarsecon.config import FeatureLayer
from coarsecon.data.prepared.convert import prepared
from coarsecon.data.prepared.loader import padded
from coarsecon.errors import CoarseconError, InputError
from coarsecon.nn.backbone import feature_dim
from coarsecon.nn.encoder import Encoder
from coarsecon.run.facade import Run
from coarsecon.runtime.progress import Reporter

BATCH = 16
"""Images localized at once."""

UNSUPPORTED = "localization is not supported"

Heat = NDArray[np.float32]
"""Norms [h, w] of the locations of an image."""


@dataclass(frozen=True)
class Localizer:
    """Compute heat maps with an encoder and, optionally, a projector.

    Args:
        encoder: The encoder, whose backbone gives features [N, F] of N locations.
        project: Maps them to [N, D]; None for the norm of the features.
        layer: The layer whose norm is taken.
    """

    encoder: Encoder
    project: Callable[[Tensor], Tensor | None] | None
    layer: FeatureLayer

    @torch.no_grad()
    def __call__(self, images: Sequence[NDArray[np.uint8]], reporter: Reporter | None = None) -> list[Heat]:
        """Return the heat [h, w] of images uint8 [H, W, 3] of any size; the map covers the entire image.

        Therefore images are resized to the square also where the input transform crops.

        Raises:
            InputError: The backbone has no feature map, or one of a single location.
        """
        transform, device = self.encoder.card.input, next(self.encoder.parameters()).device
        heats: list[Heat] = []
        with (reporter or Reporter()).progress("heat maps", len(images)) as progress:
            for start in range(0, len(images), BATCH):
                chunk = images[start : start + BATCH]
                batch = padded([prepared(Image.fromarray(pixels), transform.size) for pixels in chunk])
                features = location_features(self.encoder.backbone, self.encoder.inputs(batch.to(device), whole=True))
                projected = features if self.project is None else self.project(features.flatten(0, 2))
                assert projected is not None
                heat = projected.float().norm(dim=-1).view(features.shape[:3])
                heats += list(heat.cpu().numpy())
                progress.advance(len(chunk))
        return heats


def load_localizer(run: Run, layer: FeatureLayer | None = None) -> Localizer:
    """Return the localizer of a run at a layer: by default the projector, or the backbone where there is none.

    Raises:
        InputError: The run has no encoder yet, or the projector is asked for and the run has no heads.
    """
    reason = ""
    if layer != "backbone":
        reason = "" if layer else _missing_heads(run)
        if not reason and run.store.has_projector():
            return Localizer(run.store.encoder, run.store.method.project, "projector")
        run.reporter.info(
            f"{run.folder.root}: {reason or 'its method has no projector'}; using the backbone's features"
        )
    return Localizer(run.store.encoder, None, "backbone")


def _missing_heads(run: Run) -> str:
    """Return why the heads of a run cannot be loaded; empty where they can."""
    heads = run.folder.heads(run.spec.checkpoint)
    if not heads.is_file():
        return f"there is no {heads.name}"
    try:
        registry.load(registry.METHODS, run.folder.config().method["name"])
    except CoarseconError as error:
        return str(error).rstrip(".")
    return ""


@torch.no_grad()
def location_features(backbone: Any, images: Tensor) -> Tensor:
    """Return the features [N, h, w, F] of each location of the last feature map of images [N, 3, S, S].

    Each location passes timm's `forward_head` as a separate map: pooling a single location changes nothing, and the
    rest of the head (a norm, a convolution) is applied. For a transformer, patch tokens are the locations, and each
    also replaces the class token. Where the pooling is a mean and the head is linear, the mean over the locations is
    the pooled feature.

    Raises:
        InputError: There is no such map, it has a single location, or the head cannot process a single location.
    """
    name = f"backbone {type(backbone).__name__}"
    if not callable(getattr(backbone, "forward_features", None)):
        raise InputError(name, "has no forward_features", UNSUPPORTED)
    cells = _cells(backbone, backbone.forward_features(images), name)
    grid = cells.shape[:3]
    if grid[1:].numel() == 1:
        problem = f"its last feature map has a single location at {images.shape[-1]} px"
        raise InputError(name, problem, "use larger images, a smaller stride or a small stem")
    try:
        features = backbone.forward_head(cells.flatten(0, 2))
    except (RuntimeError, AssertionError, IndexError) as error:
        problem = f"its head cannot process a single location ({str(error).splitlines()[0]})"
        raise InputError(name, problem, UNSUPPORTED) from None
    if features.shape != (grid.numel(), feature_dim(backbone)):
        raise InputError(name, "its head returns no feature per location", UNSUPPORTED)
    return features.unflatten(0, grid)


def _cells(backbone: nn.Module, features: Any, name: str) -> Tensor:
    """Return each location [N, h, w, ...] as input of the head: a map of 1 x 1, or a sequence of one patch."""
    if isinstance(features, Tensor) and features.ndim == 4:
        if getattr(backbone, "output_fmt", "NCHW") == "NHWC":
            return features[:, :, :, None, None]
        return features.permute(0, 2, 3, 1)[..., None, None]
    if isinstance(features, Tensor) and features.ndim == 3:
        prefix = int(getattr(backbone, "num_prefix_tokens", 0))
        patches = features[:, prefix:]
        height, width = _token_grid(backbone, patches.shape[1], name)
        return patches.unflatten(1, (height, width))[:, :, :, None].expand(-1, -1, -1, prefix + 1, -1)
    raise InputError(name, "its last features are neither a map nor patch tokens", UNSUPPORTED)


def _token_grid(backbone: Any, count: int, name: str) -> tuple[int, int]:
    """Return the height and width of the grid of `count` patch tokens."""
    grid = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    if grid is not None and math.prod(grid) == count:
        return int(grid[0]), int(grid[1])
    size = math.isqrt(count)
    if size * size != count:
        raise InputError(name, f"its {count} patch tokens form no square", UNSUPPORTED)
    return size, size
