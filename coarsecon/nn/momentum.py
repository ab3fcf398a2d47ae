"""Momentum encoder: copies of modules whose parameters follow them as an exponential moving average (EMA)."""

import copy

import torch
from torch import Tensor, nn


class MomentumEncoder(nn.Module):
    """Frozen copies of `sources`, applied one after the other (the momentum encoder of He et al., CVPR 2020).

    Only parameters are averaged. Buffers, such as the running statistics of batch norm, come from the forward
    passes of the copies in training mode.
    """

    def __init__(self, *sources: nn.Module, momentum: float) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copy.deepcopy(source).requires_grad_(False) for source in sources)
        self.momentum = momentum

    @torch.no_grad()
    def update(self, *sources: nn.Module) -> None:
        """Move every parameter by 1 - momentum towards that of its source."""
        targets: list[Tensor] = [parameter for source in sources for parameter in source.parameters()]
        averages: list[Tensor] = list(self.parameters())
        torch._foreach_lerp_(averages, targets, 1 - self.momentum)

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the copies in sequence, without gradient."""
        for module in self.copies:
            inputs = module(inputs)
        return inputs
