"""Projector and predictor heads."""

from torch import nn


def projector(features: int, hidden: int | None, dim: int) -> nn.Sequential:
    """Build Linear - ReLU - Linear from [N, features] to [N, dim]; `hidden` defaults to `features`."""
    hidden = hidden or features
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim))


def predictor(dim: int, hidden: int) -> nn.Sequential:
    """Build BYOL's predictor: Linear - batch norm - ReLU - Linear from [N, dim] to [N, dim]."""
    return nn.Sequential(nn.Linear(dim, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim))
