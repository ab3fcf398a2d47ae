"""Features of a run: extracted once, cached in the run, made anew when the encoder or the images change."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from coarsecon.data.convert import as_prepared
from coarsecon.data.loader import ImageLoader, padded
from coarsecon.data.store import PreparedDataset, Split
from coarsecon.files import atomic_write
from coarsecon.nn.encoder import Encoder, load_encoder
from coarsecon.reporting import Reporter
from coarsecon.runs import Run, Which

BATCH = 250
FILES_AT_ONCE = 32


def fingerprint(run: Run, which: Which, content: str) -> str:
    """What features depend on, in 16 characters: the encoder's weights and card, and the images' checksum."""
    digest = hashlib.sha256(content.encode())
    weights = run.encoder(which)
    for file in (weights, weights.with_suffix(".json")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def split_features(
    run: Run,
    dataset: PreparedDataset,
    split: str,
    *,
    which: Which = "last",
    device: torch.device | str = "cpu",
    workers: int = 0,
    reporter: Reporter | None = None,
) -> Tensor:
    """L2-normalised float32 features [N, D] of a prepared split, from the run's cache when they are there.

    Raises:
        InputError: the run has no encoder yet, there is no such split, or an image cannot be read.
    """
    images = dataset.split(split)
    encoder = load_encoder(run.encoder(which), device)
    cache = run.features / f"{split}-{fingerprint(run, which, dataset.info.splits[split].checksum)}.safetensors"
    cached = read_cache(cache, (len(images), encoder.dim))
    if cached is not None:
        return cached
    features = embed_split(encoder, images, device=device, workers=workers, reporter=reporter or Reporter())
    atomic_write(cache, save({"features": features}))
    return features


def embed_split(
    encoder: Encoder, split: Split, *, device: torch.device | str, workers: int, reporter: Reporter
) -> Tensor:
    """L2-normalised float32 features [N, D] of a split, in its order."""
    loader = ImageLoader(split, device, workers)
    parts = []
    with reporter.progress(f"features of {split.name}", len(split)) as progress:
        for batch in loader.batches(torch.arange(len(split)).split(BATCH)):
            parts.append(encoder.embed(batch).cpu())
            progress.advance(len(batch.pixels))
    return torch.cat(parts)


def embed_files(
    encoder: Encoder, files: Sequence[Path], *, device: torch.device | str, reporter: Reporter | None = None
) -> Tensor:
    """L2-normalised float32 features [N, D] of image files, shrunk as `coarsecon prepare` shrinks them.

    Raises:
        InputError: a file is missing or broken.
    """
    size = encoder.card.input.size
    parts = []
    with (reporter or Reporter()).progress("features of files", len(files)) as progress:
        for start in range(0, len(files), FILES_AT_ONCE):
            chunk = files[start : start + FILES_AT_ONCE]
            batch = padded([as_prepared(file, size) for file in chunk])
            parts.append(encoder.embed(batch.to(device)).cpu())
            progress.advance(len(chunk))
    return torch.cat(parts)


def read_cache(path: Path, shape: tuple[int, int]) -> Tensor | None:
    try:
        features = load_file(path)["features"]
    except (OSError, SafetensorError, KeyError):
        return None
    return features if features.shape == shape else None
