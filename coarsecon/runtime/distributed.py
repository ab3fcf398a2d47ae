"""How the ranks of a run speak to each other: one small object that the loop and the methods are handed.

Below the loop nothing else knows that there are any, and the losses do not know even that.
"""

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

TIMEOUT = 50
"""Seconds after which a rank that waits for another gives up; COARSECON_TIMEOUT in the environment says otherwise."""

LOST = ("connection", "timed out", "timeout", "socket", "peer", "gloo", "nccl", "store")
"""One of these words is in what torch says when another rank is gone."""


class Distributed:
    """One process alone: gathering gives back what was put in."""

    rank = 0
    world_size = 1

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of `tensor` [N, ...] of all ranks, in rank order, without gradient; N is the same on each."""
        return tensor.detach()

    def gather_with_gradient(self, tensor: Tensor) -> Tensor:
        """The same, through which the gradients of all ranks reach each rank's rows, summed."""
        return tensor

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks."""

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on some rank."""
        return flag

    def broadcast_object(self, make: Callable[[], T]) -> T:
        """What `make` gives on rank 0, where alone it is called."""
        return make()

    def all_gather_object(self, make: Callable[[], T]) -> list[T]:
        """What `make` gives on each rank, in rank order."""
        return [make()]

    def round_robin(self, make: Callable[[range], Iterator[T]], items: range) -> Iterator[T]:
        """What `make` gives for each item, in order, on every rank; of W ranks each makes every W-th."""
        own = make(items[self.rank :: self.world_size])
        for _ in range(0, len(items), self.world_size):
            yield from (made for made in self.all_gather_object(lambda: next(own, None)) if made is not None)

    def shard(self, count: int) -> slice:
        """This rank's part of `count` rows, in rank order; where they do not divide, the last ranks have fewer.

        A rank for which nothing is left has the last row too, so that none is without.
        """
        each = -(-count // self.world_size)
        start = min(self.rank * each, count - 1)
        return slice(start, max(start + 1, min((self.rank + 1) * each, count)))

    def gather_parts(self, rows: Tensor, count: int) -> Tensor:
        """All `count` rows of which each rank has its `part`, without gradient."""
        each = -(-count // self.world_size)
        padded = rows.new_zeros(each, *rows.shape[1:])
        padded[: len(rows)] = rows
        return self.gather(padded)[:count]


class DistributedComm(Distributed):
    """One of several processes, through torch's default process group."""

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
        """As in `Distributed`; all of them in one message."""
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
        """As in `Distributed`; an error there is raised on every rank."""
        told: list[Any] = [None, None]
        if self.rank == 0:
            told = [*_outcome(make)]
        dist.broadcast_object_list(told)
        if told[1] is not None:
            told[1].said_elsewhere = self.rank != 0
            raise told[1]
        value: T = told[0]
        return value

    def all_gather_object(self, make: Callable[[], T]) -> list[T]:
        """As in `Distributed`; an error on some rank is raised on every rank."""
        told: list[Any] = [None] * self.world_size
        dist.all_gather_object(told, _outcome(make))
        for rank, (_, error) in enumerate(told):
            if error is not None:
                error.said_elsewhere = self.rank != rank
                raise error
        return [value for value, _ in told]


def _outcome(make: Callable[[], T]) -> tuple[T | None, CoarseconError | None]:
    """What `make` gives, or the error it raises."""
    try:
        return make(), None
    except CoarseconError as error:
        return None, error


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, comm: DistributedComm) -> Tensor:
        ctx.comm = comm
        return comm.gather(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient[ctx.comm.shard(len(gradient))], None


def launched_rank() -> int:
    """The rank that a launcher such as torchrun gave this process; 0 for one alone."""
    return int(os.environ.get("RANK", "0")) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0


@contextmanager
def connected() -> Iterator[Distributed]:
    """The `Distributed` of this process within the `with` block: of several where a launcher such as torchrun says so.

    Raises:
        CoarseconError: the other ranks cannot be reached, or one is lost within the block.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Distributed()
        return
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=timedelta(seconds=int(os.environ.get("COARSECON_TIMEOUT", TIMEOUT))))
        yield DistributedComm()
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in LOST):
            raise
        lost = CoarseconError(
            f"rank {launched_rank()} has lost another one ({str(error).splitlines()[0][:200]}); "
            "when all machines are back, start the same command again, pretrain with --resume"
        )
        lost.said_elsewhere = False
        raise lost from error
    dist.destroy_process_group()
