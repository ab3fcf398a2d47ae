"""Exponential moving average (EMA) of the weights of several modules, for evaluation."""

import copy
from collections.abc import Mapping
from typing import cast

import torch
from torch import nn


class WeightAverage(nn.Module):
    """Copies of modules whose parameters and buffers follow them as a moving average.

    Each update computes average = decay * average + (1 - decay) * value (Polyak & Juditsky, 1992). The average starts
    at the initial weights. Counts, such as the steps of a batch norm, are copied.

    Args:
        sources: Modules by name; the copies are attributes of the same names.
        decay: Decay per update.
    """

    def __init__(self, sources: Mapping[str, nn.Module], decay: float) -> None:
        super().__init__()
        self.decay = decay
        for name, source in sources.items():
            self.add_module(name, copy.deepcopy(source).requires_grad_(False).eval())

    def modules_by_name(self) -> dict[str, nn.Module]:
        """Return the averaged modules by the names of their sources."""
        return cast(dict[str, nn.Module], dict(self.named_children()))

    @torch.no_grad()
    def update(self, sources: Mapping[str, nn.Module]) -> None:
        """Move every floating-point value towards that of its source, and copy all others."""
        pairs = [
            (average, value)
            for name, copied in self.named_children()
            for average, value in zip(copied.state_dict().values(), sources[name].state_dict().values(), strict=True)
        ]
        averages, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
        torch._foreach_lerp_(averages, values, 1 - self.decay)
        for average, value in pairs:
            if not average.is_floating_point():
                average.copy_(value)
