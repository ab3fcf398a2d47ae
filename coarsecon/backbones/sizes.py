"""Image sizes and poolings to try with a backbone."""

from collections.abc import Sequence

import timm
from torch import nn

from coarsecon.backbones.candidates import Candidate, Variant
from coarsecon.config import Pooling
from coarsecon.nn.pooling import possible_poolings


def variants_of(
    candidate: Candidate, image_size: int, sizes: Sequence[int] = (), poolings: Sequence[Pooling] = ()
) -> list[Variant]:
    """Return a candidate at each image size and with each pooling.

    A network without tokens has one pooling, and a run is as it is. Without `sizes`, a network gets images of the
    dataset's size, rounded up to a multiple of the size of its patches.

    Args:
        candidate: The backbone.
        image_size: Size of the images of the dataset, in pixels.
        sizes: Image sizes in pixels.
        poolings: Poolings; one that the network does not have is an error of that variant.
    """
    if candidate.kind == "run":
        return [Variant(candidate)]
    network = timm.create_model(candidate.name, num_classes=0)
    patch = patch_size(network)
    chosen = list(dict.fromkeys(sizes)) or [-(-image_size // patch) * patch]
    pooled: Sequence[Pooling | None] = list(dict.fromkeys(poolings)) if possible_poolings(network) else []
    return [Variant(candidate, size, pooling) for size in chosen for pooling in pooled or [None]]


def patch_size(network: nn.Module) -> int:
    """Return the side of the patches of a transformer in pixels; 1 for other networks."""
    size = getattr(getattr(network, "patch_embed", None), "patch_size", 1)
    return int(size if isinstance(size, int) else max(size))
