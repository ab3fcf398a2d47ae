"""Load batches of a prepared split on a device, in a given order."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from coarsecon.data.formats.images import decode
from coarsecon.data.prepared.store import Split
from coarsecon.errors import CoarseconError, InputError
from coarsecon.runtime.limits import fits_shared_memory, workers_problem
from coarsecon.runtime.pool import loader_workers, map_ahead, signals_held
from coarsecon.runtime.progress import Reporter
from coarsecon.views.batch import ImageBatch


class ImageLoader:
    """Loads the images of `split` to `device`.

    An array is copied completely to an accelerator on first use, and indexed there; on the CPU it is read from the
    mapped file. Files are decoded ahead by `workers` processes, which live as long as the loader, or by two threads of
    this process if `workers` is 0 or the system allows no worker processes, which is reported.
    """

    def __init__(
        self, split: Split, device: torch.device | str, workers: int = 0, *, reporter: Reporter | None = None
    ) -> None:
        self.split, self.device, self.workers = split, torch.device(device), workers
        self._order = BatchOrder()
        problem = workers_problem(workers) if split.files is not None else ""
        if problem:
            self.workers = 0
            (reporter or Reporter()).info(f"WARNING: {problem}. Images are decoded without worker processes, slowly")

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[ImageBatch]:
        """Yield a batch for each int64 tensor [B] of image indices. Exhaust or drop an iterator before the next.

        Raises:
            InputError: An image file is missing or broken, or the array was truncated after it was opened.
            CoarseconError: A worker process died.
        """
        if self.split.files is None:
            for indices in index_batches:
                self.split.check_file()
                yield ImageBatch.full(self._images[indices.to(self.device, non_blocking=True)])
            return
        self._order.index_batches = index_batches
        for batch in self._from_processes() if self.workers else self._threads():
            if isinstance(batch, InputError):  # a new error: one that this frame refers to would keep the workers alive
                raise InputError(batch.subject, batch.problem, batch.hint)
            yield batch.to(self.device)

    def _from_processes(self) -> Iterator[ImageBatch | InputError]:
        try:
            with signals_held():
                arriving = iter(self._processes)
            for batch in arriving:
                yield batch.tensors() if isinstance(batch, CopiedBatch) else batch
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise CoarseconError(
                f"a worker process that decodes images died ({str(error).splitlines()[0]}); it may "
                "have run out of memory",
                "use fewer worker processes, or none",
            ) from error

    @cached_property
    def _images(self) -> Tensor:
        assert self.split.images is not None
        self.split.check_file()
        return self.split.images.to(self.device)

    @cached_property
    def _files(self) -> "DecodedFiles":
        assert self.split.files is not None
        return DecodedFiles(self.split.files)

    def _threads(self) -> Iterator[ImageBatch | InputError]:
        return map_ahead(self._files.__getitems__, self._order, pool=ThreadPoolExecutor(2), ahead=2)

    @cached_property
    def _processes(self) -> DataLoader[ImageBatch]:
        return DataLoader(
            WorkerFiles(self._files, self.workers),
            batch_sampler=self._order,
            num_workers=self.workers,
            collate_fn=_as_it_is,
            worker_init_fn=loader_workers(),
            pin_memory=self.device.type == "cuda",
            persistent_workers=True,
        )


class BatchOrder:
    """Batch sampler of a persistent DataLoader, whose batches are replaced in each epoch."""

    index_batches: Iterable[Tensor] = ()

    def __iter__(self) -> Iterator[list[int]]:
        return (indices.tolist() for indices in self.index_batches)


class DecodedFiles(Dataset[ImageBatch]):
    """Image files, decoded in batches."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __getitems__(self, indices: list[int]) -> ImageBatch | InputError:
        """Return the padded batch, or the error: raised in a worker, it would arrive as a traceback."""
        try:
            return padded([decode(self.files[i]) for i in indices])
        except InputError as error:
            return error


class WorkerFiles(Dataset[Any]):
    """Image files as a worker process sends them: in shared memory, or as copies if there is too little of it."""

    def __init__(self, files: DecodedFiles, workers: int) -> None:
        self.files, self.workers = files, workers

    def __getitems__(self, indices: list[int]) -> "ImageBatch | CopiedBatch | InputError":
        """Return the padded batch, or the error."""
        batch = self.files.__getitems__(indices)
        if isinstance(batch, InputError) or fits_shared_memory(batch.pixels.nbytes, self.workers):
            return batch
        return CopiedBatch(batch.pixels.numpy(), batch.sizes.numpy())


@dataclass(frozen=True)
class CopiedBatch:
    """A batch as arrays, whose bytes are sent through a pipe."""

    pixels: np.ndarray
    sizes: np.ndarray

    def tensors(self) -> ImageBatch:
        """Return the batch as tensors."""
        return ImageBatch(torch.from_numpy(self.pixels), torch.from_numpy(self.sizes))


def padded(images: list[np.ndarray]) -> ImageBatch:
    """Pad images uint8 [H, W, 3] of any size with zeros at the bottom and right to one batch."""
    sizes = np.array([image.shape[:2] for image in images])
    height, width = sizes.max(axis=0)
    pixels = np.zeros((len(images), 3, height, width), np.uint8)
    for canvas, image in zip(pixels, images, strict=True):
        canvas[:, : image.shape[0], : image.shape[1]] = image.transpose(2, 0, 1)
    return ImageBatch(torch.from_numpy(pixels), torch.from_numpy(sizes))


def _as_it_is(batch: Any) -> Any:
    return batch
