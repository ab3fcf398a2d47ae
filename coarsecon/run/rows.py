"""Rows of numbers of images by an encoder of a run, cached in the run's folder `features`."""

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from coarsecon.config import Checkpoint
from coarsecon.errors import NotWritableError
from coarsecon.run.cache import cached_rows, remove_dead
from coarsecon.run.folder import RunFolder
from coarsecon.run.marks import encoder_mark
from coarsecon.run.spec import FeatureSpec, Runtime

Pieces = Callable[[range], Iterator[Tensor]]
"""`pieces(starts)` yields the rows [B, W] of the batches of images that start at these indices, on the CPU."""


class RowStore:
    """Rows by the encoder of a run that `spec` names."""

    def __init__(self, folder: RunFolder, spec: FeatureSpec, runtime: Runtime) -> None:
        self.folder, self.spec, self.runtime = folder, spec, runtime
        self._in_memory: dict[Path, Tensor] = {}

    @cached_property
    def encoder_mark(self) -> str:
        """The fingerprint of the encoder, on which cached rows depend."""
        return encoder_mark(self.folder, self.spec.checkpoint)

    def kept(self, name: str, content: str, count: int, pieces: Pieces, *, piece: int, what: str) -> Tensor:
        """Return rows [count, W] of images of this `content` from the cache; missing ones come from `pieces`.

        Pieces are of `piece` images each; `what` describes them in progress messages. In a run that cannot be written
        to, the rows are kept in memory.
        """
        path = self._path(name, content)
        if path in self._in_memory:
            return self._in_memory[path]
        if self.runtime.distributed.rank == 0 and not path.exists() and self.folder.owns(path):
            saved = [name for name in get_args(Checkpoint) if self.folder.encoder(name).exists()]
            remove_dead(self.folder.features, {encoder_mark(self.folder, name) for name in saved})

        def rows(start: int) -> Iterator[Tensor]:
            return self._made(what, count, pieces, piece, start)

        try:
            self.runtime.distributed.broadcast_object(lambda: self.folder.check_owned(path))
            return cached_rows(
                path, count, rows, piece=piece, reporter=self.runtime.reporter, comm=self.runtime.distributed
            )
        except NotWritableError as error:
            self.folder.report_unwritable(error, self.runtime.reporter)
            self._in_memory[path] = torch.cat(list(rows(0)))
            return self._in_memory[path]

    def _made(self, what: str, count: int, pieces: Pieces, piece: int, start: int = 0) -> Iterator[Tensor]:
        with self.runtime.reporter.progress(what, count) as progress:
            progress.advance(start)
            for made in self.runtime.distributed.round_robin(pieces, range(start, count, piece)):
                yield made
                progress.advance(len(made))

    def _path(self, name: str, content: str) -> Path:
        """Return the file of the rows of images of this `content`."""
        place = hashlib.sha256(content.encode()).hexdigest()[:12]
        return self.folder.features / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}-{place}-{self.encoder_mark}.npy"
