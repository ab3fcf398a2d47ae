"""Image sizes and poolings to try with a backbone."""

from collections.abc import Sequence

import timm

from coarsecon.backbones.candidates import Candidate, Variant
from coarsecon.config import Pooling
from coarsecon.nn.backbone import patch_size
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
