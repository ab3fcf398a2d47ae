"""Features of a split for few-shot episodes: of queries, and of augmented copies as support."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.metrics.fewshot import Embedded
from coarsecon.nn.backbone import SMALL_IMAGE_SIZE
from coarsecon.nn.encoder import InputTransform
from coarsecon.run.features import BATCH, FeatureStore, split_batches
from coarsecon.views.batch import ImageBatch
from coarsecon.views.geometry import resized_crop

PAD = 8
"""Black border, in pixels, of images larger than `SMALL_IMAGE_SIZE` that keep their size (ANCOR, 84 px)."""


def embedded_split(store: FeatureStore, dataset: PreparedDataset, split: str, copies: int) -> Embedded:
    """Return the features of every image, and of `copies` augmented copies of it; a single copy is the image itself.

    With `flip`, the features of copies are not averaged with those of their mirror images: half of them are mirrored.

    Raises:
        InputError: As `FeatureStore.split`.
    """
    features = store.split(dataset, split)
    if copies == 1:
        return Embedded(features, features[:, None])
    of_copies = store.joined(lambda part: part.finished(copies_rows(part, dataset, split, copies)))
    return Embedded(features, of_copies.unflatten(0, (-1, copies)))


def predicted_classes(store: FeatureStore, dataset: PreparedDataset, split: str, copies: int) -> Embedded | None:
    """Return the predictions of the run's classifier for the images and copies of `embedded_split`; None without one.

    Raises:
        InputError: As `FeatureStore.coarse_logits`.
    """
    logits = store.coarse_logits(dataset, split)
    if logits is None:
        return None
    query = logits.argmax(1)
    if copies == 1:
        return Embedded(query, query[:, None])
    of_copies = store.logits(copies_rows(store, dataset, split, copies))
    assert of_copies is not None
    return Embedded(query, of_copies.argmax(1).unflatten(0, (-1, copies)))


def copies_rows(store: FeatureStore, dataset: PreparedDataset, split: str, copies: int) -> Tensor:
    """Return backbone features [N * copies, F] of augmented copies of every image, cached; always the same copies.

    The copies of an image are the same in all episodes, where ANCOR draws new ones in each: the expected accuracy is
    equal, and all-way episodes stay affordable.
    """
    images = dataset.split(split)

    def pieces(starts: range) -> Iterator[Tensor]:
        transform, small = store.encoder.card.input, images.images is not None
        batches = split_batches(
            ImageLoader(images, store.device, store.runtime.workers, reporter=store.runtime.reporter), BATCH, starts
        )
        for start, batch in zip(starts, batches, strict=True):
            generator = torch.Generator().manual_seed(start)
            augmented = [augment(batch, transform, generator, small=small) for _ in range(copies)]
            yield torch.stack([store.encoder.features(copy, whole=True) for copy in augmented], dim=1).flatten(1).cpu()

    # Version 1 also cropped small images; its rows may still be in the folder.
    title, checksum = f"{split}-copies{copies}-v2", dataset.info.splits[split].checksum
    kept = store.kept(title, checksum, len(images), pieces, piece=BATCH, what=f"copies of {split}")
    return kept.view(len(images) * copies, -1)


def augment(batch: ImageBatch, transform: InputTransform, generator: torch.Generator, *, small: bool) -> ImageBatch:
    """Randomly crop each image and mirror it with probability 1/2; return 8-bit squares of the transform's size.

    The crops are those of ANCOR's code. Small images keep their size: up to 64 px (CIFAR) they are not cropped, larger
    ones (tieredImageNet) are padded with 8 black pixels and cropped. Crops of other images have 7/8 of the width and
    height (224 of 256 pixels), resized to a square as in the test view; where that keeps the aspect ratio, they are
    squares of 7/8 of the shorter side. The generator is on the CPU, so that every device draws the same copies.
    """
    pad = PAD if small and batch.pixels.shape[-1] > SMALL_IMAGE_SIZE else 0
    sides = batch.sizes if transform.resize == "square" else batch.sizes.amin(1, keepdim=True).expand(-1, 2)
    pixels, box = F.pad(batch.pixels, [pad] * 4), (batch.sizes if small else sides * 7 // 8)
    room = batch.sizes + 2 * pad - box
    draws = torch.rand(len(batch), 3, generator=generator).to(pixels.device)
    corner = (draws[:, :2] * (room + 1)).long().minimum(room)
    boxes, flip = torch.cat([corner, box], dim=1), draws[:, 2] < 0.5
    crops = resized_crop(pixels, boxes, transform.size, flip=flip, interpolation=transform.interpolation)
    return ImageBatch.full(crops.to(torch.uint8))
