"""The images of a split as few-shot episodes see them: as queries, and as support in augmented copies."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.metrics.fewshot import Embedded
from coarsecon.nn.backbone import SMALL_IMAGE_SIZE
from coarsecon.run.features import BATCH, FeatureStore, split_batches
from coarsecon.views.batch import ImageBatch
from coarsecon.views.geometry import resized_crop

PAD = 8
"""Pixels of black around an image above `SMALL_IMAGE_SIZE` that is stored at its own size (ANCOR, 84 px)."""


def embedded_split(store: FeatureStore, dataset: PreparedDataset, split: str, copies: int) -> Embedded:
    """Features of every image, and of `copies` augmented copies of it; a single copy is the image as it is.

    Copies are not mirrored once more where the store averages with the mirror image: half of them are already.

    Raises InputError as `FeatureStore.split` does.
    """
    features = store.split(dataset, split)
    if copies == 1:
        return Embedded(features, features[:, None])
    rows = copies_rows(store, dataset, split, copies)
    return Embedded(features, store.finished(rows).unflatten(0, (-1, copies)))


def predicted_classes(store: FeatureStore, dataset: PreparedDataset, split: str, copies: int) -> Embedded | None:
    """The class by the run's classifier, instead of features, of all that `embedded_split` has; None without one.

    Raises InputError as `FeatureStore.coarse_logits` does.
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
    """Backbone features [N * copies, F] of augmented copies of every image, from the store if there; always the same.

    An image keeps its copies through all episodes, where ANCOR draws new ones in each: the mean over episodes
    estimates the same, and all-way episodes stay affordable.
    """
    images = dataset.split(split)

    def pieces(starts: range) -> Iterator[Tensor]:
        size, small = store.encoder.card.input.size, images.images is not None
        batches = split_batches(
            ImageLoader(images, store.device, store.runtime.workers, reporter=store.runtime.reporter), BATCH, starts
        )
        for start, batch in zip(starts, batches, strict=True):
            generator = torch.Generator().manual_seed(start)
            augmented = [augment(batch, size, generator, small=small) for _ in range(copies)]
            yield torch.stack([store.encoder.features(copy) for copy in augmented], dim=1).flatten(1).cpu()

    # Version 1 cropped small images, too; its rows may still be in the folder.
    title, checksum = f"{split}-copies{copies}-v2", dataset.info.splits[split].checksum
    kept = store.kept(title, checksum, len(images), pieces, piece=BATCH, what=f"copies of {split}")
    return kept.view(len(images) * copies, -1)


def augment(batch: ImageBatch, size: int, generator: torch.Generator, *, small: bool) -> ImageBatch:
    """Every image randomly cropped and, half of the time, mirrored, as 8-bit images [N, 3, size, size].

    The crops are those of ANCOR's code. Small images keep their size: up to 64 px (CIFAR) they are not cropped at all,
    larger ones (tieredImageNet) are cropped from a border of 8 black pixels. Of other images 7/8 of each side is taken
    (224 of 256 pixels), resized to the square as in the test view. The generator is on the CPU, so that every device
    draws the same copies.
    """
    pad = PAD if small and batch.pixels.shape[-1] > SMALL_IMAGE_SIZE else 0
    pixels, box = F.pad(batch.pixels, [pad] * 4), (batch.sizes if small else batch.sizes * 7 // 8)
    room = batch.sizes + 2 * pad - box
    draws = torch.rand(len(batch), 3, generator=generator).to(pixels.device)
    corner = (draws[:, :2] * (room + 1)).long().minimum(room)
    crops = resized_crop(pixels, torch.cat([corner, box], dim=1), size, flip=draws[:, 2] < 0.5)
    return ImageBatch.full(crops.to(torch.uint8))
