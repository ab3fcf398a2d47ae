"""Communication between the ranks of a run: one small object, passed to the training and the methods."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from coarsecon.errors import CoarseconError

T = TypeVar("T")

TIMEOUT_SECONDS = 50
"""Time that a rank waits for another one, unless COARSECON_TIMEOUT is set in the environment."""

LOST_RANK_WORDS = ("connection", "timed out", "timeout", "socket", "peer", "gloo", "nccl", "store")
"""Words in torch's errors after the loss of another rank."""


class RankFinished(Exception):  # noqa: N818  the other ranks end normally
    """Raised on all ranks but the first where only that one continues."""


class Distributed:
    """A single process: gathering returns the input."""

    rank = 0
    world_size = 1

    def gather(self, tensor: Tensor) -> Tensor:
        """Gather the rows of `tensor` [N, ...] of all ranks, in rank order, without gradient; N is the same on each."""
        return tensor.detach()

    def gather_with_gradient(self, tensor: Tensor) -> Tensor:
        """Gather as `gather` does; each rank's rows receive the sum of the gradients of all ranks."""
        return tensor

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks."""

    def any(self, flag: bool) -> bool:
        """Return True if the flag is set on any rank."""
        return flag

    def broadcast_object(self, make: Callable[[], T]) -> T:
        """Call `make` on rank 0 only, and return its result on every rank."""
        return make()

    def all_gather_object(self, make: Callable[[], T]) -> list[T]:
        """Call `make` on each rank, and return all results in rank order."""
        return [make()]

    def round_robin(self, make: Callable[[range], Iterator[T]], items: range) -> Iterator[T]:
        """Yield the result of `make` for each item, in order, on every rank; each of W ranks makes every W-th one."""
        own = make(items[self.rank :: self.world_size])
        for _ in range(0, len(items), self.world_size):
            yield from (made for made in self.all_gather_object(lambda: next(own, None)) if made is not None)

    def shard(self, count: int) -> slice:
        """Return the slice of `count` rows that belongs to this rank; the last ranks may have fewer rows.

        Every rank has at least one row: ranks for which none is left repeat the last one.
        """
        each = -(-count // self.world_size)
        start = min(self.rank * each, count - 1)
        return slice(start, max(start + 1, min((self.rank + 1) * each, count)))

    def gather_parts(self, rows: Tensor, count: int) -> Tensor:
        """Gather all `count` rows from the `shard` of each rank, without gradient."""
        each = -(-count // self.world_size)
        padded = rows.new_zeros(each, *rows.shape[1:])
        padded[: len(rows)] = rows
        return self.gather(padded)[:count]


class ProcessGroup(Distributed):
    """One of several processes, connected by torch's default process group."""

    def __init__(self) -> None:
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()

    def gather(self, tensor: Tensor) -> Tensor:
        """As in `Distributed`."""
        own = tensor.detach().contiguous()
        parts = [torch.empty_like(own) for _ in range(self.world_size)]
        dist.all_gather(parts, own)
        return torch.cat(parts)

    def gather_with_gradient(self, tensor: Tensor) -> Tensor:
        """As in `Distributed`."""
        gathered: Tensor = _Gathered.apply(tensor, self)
        return gathered

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """As in `Distributed`, with a single all-reduce."""
        if not tensors:
            return
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, mean in zip(tensors, flat.div_(self.world_size).split([t.numel() for t in tensors]), strict=True):
            tensor.detach().copy_(mean.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """As in `Distributed`."""
        flags = torch.tensor(int(flag))
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags)

    def broadcast_object(self, make: Callable[[], T]) -> T:
        """As in `Distributed`; an error on rank 0 is raised on every rank."""
        outcome: list[Any] = [*_outcome(make)] if self.rank == 0 else [None, None]
        dist.broadcast_object_list(outcome)
        if outcome[1] is not None:
            outcome[1].reported_elsewhere = self.rank != 0
            raise outcome[1]
        value: T = outcome[0]
        return value

    def all_gather_object(self, make: Callable[[], T]) -> list[T]:
        """As in `Distributed`; an error on any rank is raised on every rank."""
        outcomes: list[Any] = [None] * self.world_size
        dist.all_gather_object(outcomes, _outcome(make))
        for rank, (_, error) in enumerate(outcomes):
            if error is not None:
                error.reported_elsewhere = self.rank != rank
                raise error
        return [value for value, _ in outcomes]


def _outcome(make: Callable[[], T]) -> tuple[T | None, CoarseconError | None]:
    """Return the result of `make`, or its error."""
    try:
        return make(), None
    except CoarseconError as error:
        return None, error


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, distributed: ProcessGroup) -> Tensor:
        ctx.distributed = distributed
        return distributed.gather(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient[ctx.distributed.shard(len(gradient))], None


def launched_rank() -> int:
    """Return the rank that a launcher such as torchrun gave this process; 0 for a single process."""
    return int(os.environ.get("RANK", "0")) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0


@contextmanager
def connected() -> Iterator[Distributed]:
    """Connect the processes that a launcher such as torchrun started, for the length of the `with` block.

    Raises:
        CoarseconError: Another rank cannot be reached, or is lost within the block.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Distributed()
        return
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(
            backend, timeout=timedelta(seconds=int(os.environ.get("COARSECON_TIMEOUT", TIMEOUT_SECONDS)))
        )
        yield ProcessGroup()
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in LOST_RANK_WORDS):
            raise
        lost = CoarseconError(
            f"rank {launched_rank()}",
            f"lost the connection to another rank ({str(error).splitlines()[0][:200]})",
            "run the same command again when all machines are available; to continue a training, set resume",
        )
        lost.reported_elsewhere = False
        raise lost from error
    dist.destroy_process_group()
