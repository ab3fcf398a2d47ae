"""Where in an image an embedding looks: how strongly each location of the last feature map speaks.

What follows the last feature map is applied at each location on its own instead of after pooling, and the norm of what
comes out is the heat of the location: the localisation pictures of ANCOR (Bukchin et al., CVPR 2021).
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
from coarsecon.config import Checkpoint, FeatureLayer
from coarsecon.data.prepared.convert import prepared
from coarsecon.data.prepared.loader import padded
from coarsecon.errors import CoarseconError, InputError
from coarsecon.nn.backbone import feature_dim
from coarsecon.nn.encoder import Encoder
from coarsecon.run.folder import RunFolder
from coarsecon.run.restore import load_method, open_encoder
from coarsecon.runtime.progress import Reporter

IMAGES_AT_ONCE = 16

Heat = NDArray[np.float32]
"""The norms [h, w] of one image's locations."""


@dataclass(frozen=True)
class Localizer:
    """An encoder and what follows its features [N, F]: a projector to [N, D], or nothing for the features' own norm."""

    encoder: Encoder
    project: Callable[[Tensor], Tensor | None] | None
    layer: FeatureLayer
    """The layer whose norm is taken; the backbone where the method has no projector."""

    @torch.no_grad()
    def __call__(self, images: Sequence[NDArray[np.uint8]], reporter: Reporter | None = None) -> list[Heat]:
        """The heat [h, w] of images uint8 [H, W, 3] of any size; the whole image is the whole map.

        Raises:
            InputError: the backbone has no map of features, or a single location.
        """
        recipe, device = self.encoder.card.input, next(self.encoder.parameters()).device
        heats: list[Heat] = []
        with (reporter or Reporter()).progress("where it looks", len(images)) as progress:
            for start in range(0, len(images), IMAGES_AT_ONCE):
                chunk = images[start : start + IMAGES_AT_ONCE]
                batch = padded([prepared(Image.fromarray(pixels), recipe.size) for pixels in chunk])
                features = location_features(self.encoder.backbone, self.encoder.inputs(batch.to(device)))
                projected = features if self.project is None else self.project(features.flatten(0, 2))
                assert projected is not None
                heat = projected.float().norm(dim=-1).view(features.shape[:3])
                heats += list(heat.cpu().numpy())
                progress.advance(len(chunk))
        return heats


def load_localizer(
    run: RunFolder,
    layer: FeatureLayer | None = None,
    which: Checkpoint = "last",
    device: torch.device | str = "cpu",
    reporter: Reporter | None = None,
) -> Localizer:
    """The localizer of a run at that layer; by default at the projector, if the run has one.

    Where there is no projector, the backbone takes its place, and the reason is reported.

    Raises:
        InputError: the run has no encoder yet, or kept no heads and the projector is asked for.
    """
    encoder, reason = open_encoder(run, which, device), ""
    if layer != "backbone":
        reason = "" if layer else _no_heads(run, which)
        if not reason:
            method = load_method(run, which, device, encoder=encoder)
            if method.project(torch.zeros(1, encoder.dim, device=device)) is not None:
                return Localizer(encoder, method.project, "projector")
            reason = "its method has no projector"
    if reason and reporter is not None:
        reporter.info(f"{run.root}: {reason}; using the backbone's features (--layer backbone)")
    return Localizer(encoder, None, "backbone")


def _no_heads(run: RunFolder, which: Checkpoint) -> str:
    """Why a run has no heads that could be loaded; empty where it has some."""
    if not run.heads(which).is_file():
        return f"there is no {run.heads(which).name}"
    try:
        registry.load(registry.METHODS, run.config().method["name"])
    except CoarseconError as error:
        return str(error).rstrip(".")
    return ""


@torch.no_grad()
def location_features(backbone: Any, images: Tensor) -> Tensor:
    """The features [N, h, w, F] that each location of the last feature map gives alone, of images [N, 3, S, S].

    Each location goes through timm's `forward_head` as a map of its own: pooling one location changes nothing, and
    whatever else the head holds (a norm, a further convolution) is applied. A transformer's patch tokens take the
    places of the map, each standing for the class token too. Where the pooling is a mean and the head is linear,
    the mean over the locations is the pooled feature.

    Raises:
        InputError: there is no such map, it has a single location, or the head cannot do with one.
    """
    name = type(backbone).__name__
    if not callable(getattr(backbone, "forward_features", None)):
        raise InputError(f"{name} does not tell its last feature map (no forward_features); it cannot be localised")
    cells = _cells(backbone, backbone.forward_features(images), name)
    grid = cells.shape[:3]
    if grid[1:].numel() == 1:
        raise InputError(
            f"at {images.shape[-1]} px the last feature map of {name} is a single location; it can only be localised "
            "with larger images, a smaller stride or a small stem"
        )
    try:
        features = backbone.forward_head(cells.flatten(0, 2))
    except (RuntimeError, AssertionError, IndexError) as error:
        problem = str(error).splitlines()[0]
        raise InputError(
            f"the head of {name} works on no single location ({problem}); it cannot be localised"
        ) from None
    if features.shape != (grid.numel(), feature_dim(backbone)):
        raise InputError(f"the head of {name} gives no feature of each location; it cannot be localised")
    return features.unflatten(0, grid)


def _cells(backbone: nn.Module, features: Any, name: str) -> Tensor:
    """Each location [N, h, w, ...] as what the head takes: a map of 1 x 1, or a sequence of one patch."""
    if isinstance(features, Tensor) and features.ndim == 4:
        if getattr(backbone, "output_fmt", "NCHW") == "NHWC":
            return features[:, :, :, None, None]
        return features.permute(0, 2, 3, 1)[..., None, None]
    if isinstance(features, Tensor) and features.ndim == 3:
        prefix = int(getattr(backbone, "num_prefix_tokens", 0))
        patches = features[:, prefix:]
        height, width = _token_grid(backbone, patches.shape[1], name)
        return patches.unflatten(1, (height, width))[:, :, :, None].expand(-1, -1, -1, prefix + 1, -1)
    raise InputError(f"the last features of {name} are neither a map nor tokens of patches; it cannot be localised")


def _token_grid(backbone: Any, count: int, name: str) -> tuple[int, int]:
    grid = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    if grid is not None and math.prod(grid) == count:
        return int(grid[0]), int(grid[1])
    side = math.isqrt(count)
    if side * side != count:
        raise InputError(f"the {count} tokens of {name} form no square of patches; it cannot be localised")
    return side, side
