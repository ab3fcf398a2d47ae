"""Methods: each one file with its settings, its views and its step; nothing else knows a method by name."""

from coarsecon.methods.base import Method, MethodSettings, Setup

__all__ = ["Method", "MethodSettings", "Setup"]
