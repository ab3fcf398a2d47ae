"""Fingerprints of the encoder and of the heads that a run keeps."""

import hashlib

from coarsecon.config import Checkpoint
from coarsecon.run.folder import RunFolder
from coarsecon.run.missing import no_encoder


def encoder_mark(folder: RunFolder, checkpoint: Checkpoint) -> str:
    """Return the fingerprint of an encoder: 12 characters of a digest of its weights and its input transform.

    Raises:
        InputError: There is no encoder yet.
    """
    digest = hashlib.sha256()
    weights = folder.encoder(checkpoint)
    for path in (weights, weights.with_suffix(".json")):
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except FileNotFoundError:
            raise no_encoder(path) from None
    return digest.hexdigest()[:12]


def heads_mark(folder: RunFolder, checkpoint: Checkpoint) -> str:
    """Return the fingerprint of the heads saved with an encoder, in 12 characters; empty where there are none."""
    try:
        with folder.heads(checkpoint).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError:
        return ""
