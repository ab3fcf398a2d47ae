"""Augmented copies of support images, embedded once and cached in the run beside the features."""

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor

from coarsecon.data.batch import ImageBatch
from coarsecon.data.loader import ImageLoader
from coarsecon.data.store import PreparedDataset, Split
from coarsecon.evaluation.features import BATCH, fingerprint, read_cache
from coarsecon.files import atomic_write
from coarsecon.nn.encoder import Encoder, load_encoder
from coarsecon.reporting import Reporter
from coarsecon.runs import Run, Which
from coarsecon.views.geometry import resized_crop

PAD = 8
"""Pixels of black around a small image before the random crop."""


def support_copies(
    run: Run,
    dataset: PreparedDataset,
    split: str,
    copies: int,
    *,
    which: Which = "last",
    device: torch.device | str = "cpu",
    workers: int = 0,
    reporter: Reporter | None = None,
) -> Tensor:
    """L2-normalised features [N, copies, D] of augmented copies of every image, from the run's cache if there.

    An image keeps its copies through all episodes, where ANCOR draws new ones in each: the mean over episodes
    estimates the same, and all-way episodes stay affordable.

    Raises InputError as `split_features` does.
    """
    images = dataset.split(split)
    encoder = load_encoder(run.encoder(which), device)
    mark = fingerprint(run, which, dataset.info.splits[split].checksum)
    cache = run.features / f"{split}-copies{copies}-{mark}.safetensors"
    features = read_cache(cache, (len(images), copies * encoder.dim))
    if features is None:
        made = embed_copies(encoder, images, copies, device=device, workers=workers, reporter=reporter or Reporter())
        features = made.flatten(1)
        atomic_write(cache, save({"features": features}))
    return features.view(len(images), copies, encoder.dim)


def embed_copies(
    encoder: Encoder, split: Split, copies: int, *, device: torch.device | str, workers: int, reporter: Reporter
) -> Tensor:
    """L2-normalised float32 features [N, copies, D] of augmented copies of a split's images; always the same."""
    generator = torch.Generator().manual_seed(0)
    size, small = encoder.card.input.size, split.images is not None
    loader = ImageLoader(split, device, workers)
    parts = []
    with reporter.progress(f"copies of {split.name}", len(split) * copies) as progress:
        for batch in loader.batches(torch.arange(len(split)).split(BATCH)):
            augmented = [encoder.embed(augment(batch, size, generator, small=small)) for _ in range(copies)]
            parts.append(torch.stack(augmented, dim=1).cpu())
            progress.advance(len(batch) * copies)
    return torch.cat(parts)


def augment(batch: ImageBatch, size: int, generator: torch.Generator, *, small: bool) -> ImageBatch:
    """Every image randomly cropped and, half of the time, mirrored, as 8-bit images [N, 3, size, size].

    Small images are cropped to their own size from a border of 8 black pixels; of others, 7/8 of each side is
    taken (ANCOR's 224 of 256 pixels), squeezed to the square as the test view squeezes the whole. The
    generator is the CPU's, so that every device sees the same copies.
    """
    pixels, box = (F.pad(batch.pixels, [PAD] * 4), batch.sizes) if small else (batch.pixels, batch.sizes * 7 // 8)
    room = torch.full_like(box, 2 * PAD) if small else batch.sizes - box
    draws = torch.rand(len(batch), 3, generator=generator).to(pixels.device)
    corner = (draws[:, :2] * (room + 1)).long().minimum(room)
    crops = resized_crop(pixels, torch.cat([corner, box], dim=1), size, flip=draws[:, 2] < 0.5)
    return ImageBatch.full(crops.to(torch.uint8))
