"""A method's step on several ranks."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from coarsecon.methods import Method
from coarsecon.runtime.distributed import Distributed

Step = Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]]
"""Computes the scalars of a batch from views [N, 3, S, S] by name and labels [N]."""


def distributed_step(method: Method, comm: Distributed, step: Step | None = None) -> Step:
    """Return `step` (default: `method.step`); on several ranks, with equal initial parameters and averaged gradients.

    `step` computes with the parameters of `method`.
    """
    step = step or method.step
    if comm.world_size == 1:
        return step
    # A static graph: parameters that the loss does not use are no error.
    return DistributedDataParallel(_Step(method, step), broadcast_buffers=False, static_graph=True)


class _Step(nn.Module):
    def __init__(self, method: Method, step: Step) -> None:
        super().__init__()
        self.method, self.step = method, step

    def forward(self, views: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        return self.step(views, labels)
