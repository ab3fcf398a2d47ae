"""Read image files in batches for an encoder; broken files become rows of NaN instead of an error."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from coarsecon.data.prepared.convert import as_prepared
from coarsecon.data.prepared.loader import padded
from coarsecon.errors import InputError
from coarsecon.runtime.pool import map_ahead
from coarsecon.views.batch import ImageBatch

FILES_AT_ONCE = 32


class ImageFiles:
    """Image files for an encoder of `size` px, resized as by `coarsecon prepare`.

    A broken file is an error, or, with `skip_broken`, a black image in its batch and a row of NaN after `mark`.
    """

    def __init__(self, files: Sequence[Path], size: int, *, workers: int, skip_broken: bool) -> None:
        self.files, self.size, self.threads, self.skip_broken = files, size, max(1, workers), skip_broken
        self._broken: set[int] = set()

    def batches(self, starts: range) -> Iterator[ImageBatch]:
        """Yield the batches of `FILES_AT_ONCE` files that start at these indices."""
        return map_ahead(self._batch, starts, pool=ThreadPoolExecutor(self.threads), ahead=self.threads)

    def mark(self, start: int, rows: Tensor) -> Tensor:
        """Return the rows [B, F] of the batch that starts at `start`, with NaN for broken files."""
        broken = torch.tensor([start + i in self._broken for i in range(len(rows))])
        return torch.where(broken[:, None], torch.nan, rows)

    def problems(self, rows: Tensor) -> dict[int, str]:
        """Return the problems of broken files by index, from their marked rows [N, F]."""
        suspects = rows.isnan().all(1).nonzero().flatten().tolist()
        return {i: problem for i in suspects if (problem := self._problem(self.files[i]))}

    def _problem(self, file: Path) -> str | None:
        try:
            as_prepared(file, self.size)
        except InputError as error:
            return str(error)
        return None

    def _batch(self, start: int) -> ImageBatch:
        return padded([self._pixels(i) for i in range(start, min(start + FILES_AT_ONCE, len(self.files)))])

    def _pixels(self, number: int) -> np.ndarray:
        try:
            return as_prepared(self.files[number], self.size)
        except InputError:
            if not self.skip_broken:
                raise
            self._broken.add(number)
            return np.zeros((self.size, self.size, 3), np.uint8)


def files_fingerprint(files: Sequence[Path]) -> str:
    """Return the fingerprint of a list of files: their names, sizes and times of change."""
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
