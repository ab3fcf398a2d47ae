"""Means over the steps between two rows of the log."""

import time
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor

from coarsecon.runtime.distributed import Distributed

T = TypeVar("T")


class Window:
    """Sums of the scalars of the steps, kept on the device until the window closes."""

    def __init__(self, batch_size: int, comm: Distributed) -> None:
        self._batch_size, self._comm = batch_size, comm
        self._open()

    def _open(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps, self._waited, self._start = 0, 0.0, time.perf_counter()

    def timed(self, items: Iterator[T]) -> Iterator[T]:
        """Yield the items, and count the time spent waiting for them."""
        while True:
            asked = time.perf_counter()
            item = next(items, None)
            self._waited += time.perf_counter() - asked
            if item is None:
                return
            yield item

    def add(self, scalars: dict[str, Tensor]) -> None:
        """Count one step."""
        self._steps += 1
        for name, value in scalars.items():
            if name not in self._sums:
                self._sums[name] = torch.zeros_like(value)
        torch._foreach_add_([self._sums[name] for name in scalars], list(scalars.values()))

    def close(self) -> dict[str, float]:
        """Return means, images per second and the fraction of time spent loading data, over all ranks; start again."""
        means = {name: float(value) / self._steps for name, value in self._sums.items()}
        elapsed = time.perf_counter() - self._start
        rates = {"images_per_s": self._steps * self._batch_size / elapsed, "data_wait": self._waited / elapsed}
        self._open()
        row = means | rates
        values = torch.tensor(list(row.values()), dtype=torch.float64)
        self._comm.average_([values])
        return dict(zip(row, values.tolist(), strict=True))
