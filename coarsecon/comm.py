"""How a method speaks to other ranks; below the loop nothing else knows that there are any."""

from torch import Tensor


class Comm:
    """One process alone: gathering gives back what was put in."""

    rank = 0
    world_size = 1

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of `tensor` [N, ...] of all ranks, in rank order, without gradient."""
        return tensor
