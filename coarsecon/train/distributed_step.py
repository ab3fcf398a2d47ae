"""A method's step on several ranks."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from coarsecon.methods import Method
from coarsecon.runtime.distributed import Distributed


def distributed_step(method: Method, comm: Distributed) -> Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]]:
    """Return `method.step`; on several ranks, one with equal initial parameters and averaged gradients."""
    if comm.world_size == 1:
        return method.step
    # A static graph: parameters that the loss does not use are no error.
    return DistributedDataParallel(_Step(method), broadcast_buffers=False, static_graph=True)


class _Step(nn.Module):
    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, views: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        return self.method.step(views, labels)
