"""Fingerprints of the encoder and of the heads that a run keeps."""

import hashlib
from pathlib import Path

from coarsecon.config import Checkpoint
from coarsecon.run.folder import RunFolder
from coarsecon.run.missing import no_encoder
from coarsecon.run.parts import combined_mark, part_folders, read_combination


def encoder_mark(folder: RunFolder, checkpoint: Checkpoint) -> str:
    """Return the fingerprint of an encoder: 12 characters of a digest of its weights and its input transform.

    Raises:
        InputError: There is no encoder yet.
    """
    if folder.is_combined and checkpoint == "last":
        weights = [part.weight for part in read_combination(folder).parts]
        return combined_mark(weights, [encoder_mark(part, "last") for part in part_folders(folder)])
    digest = hashlib.sha256()
    for path in encoder_files(folder, checkpoint):
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except FileNotFoundError:
            raise no_encoder(path) from None
    return digest.hexdigest()[:12]


def heads_mark(folder: RunFolder, checkpoint: Checkpoint) -> str:
    """Return the fingerprint of the heads saved with an encoder, in 12 characters; empty where there are none."""
    if folder.is_combined:
        marks = [heads_mark(part, "last") for part in part_folders(folder)]
        return combined_mark([], marks) if any(marks) else ""
    try:
        with folder.heads(checkpoint).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError:
        return ""


def heads_files(folder: RunFolder, checkpoint: Checkpoint) -> list[Path]:
    """Return the files of the heads saved with an encoder, which need not exist."""
    return [part.heads("last") for part in part_folders(folder)] or [folder.heads(checkpoint)]


def encoder_files(folder: RunFolder, checkpoint: Checkpoint) -> list[Path]:
    """Return the files of an encoder: its weights and its card, or those of all parts and their weights."""
    if folder.is_combined and checkpoint == "last":
        return [folder.combined_file, *(file for part in part_folders(folder) for file in encoder_files(part, "last"))]
    weights = folder.encoder(checkpoint)
    return [weights, weights.with_suffix(".json")]
