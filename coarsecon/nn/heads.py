"""Heads on top of the pooled features."""

from torch import nn


def projector(features: int, hidden: int | None, dim: int) -> nn.Sequential:
    """Linear - ReLU - Linear from [N, features] to [N, dim]; `hidden` is `features` wide by default."""
    hidden = hidden or features
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim))


def predictor(dim: int, hidden: int) -> nn.Sequential:
    """BYOL's predictor: Linear - batch norm - ReLU - Linear from [N, dim] to [N, dim]."""
    return nn.Sequential(nn.Linear(dim, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim))
