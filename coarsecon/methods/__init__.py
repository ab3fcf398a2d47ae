"""Training methods, one file each: settings, views and training step."""

from coarsecon.methods.base import Method, MethodSettings, Setup

__all__ = ["Method", "MethodSettings", "Setup"]
