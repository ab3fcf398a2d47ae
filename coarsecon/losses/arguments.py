"""Checks of loss arguments that would otherwise silently compute a different loss."""

from typing import Any, get_args

from torch import Tensor


def check_choice(name: str, value: str, choices: Any) -> None:
    """Raise ValueError unless `value` is one of the values of the Literal `choices`."""
    if value not in get_args(choices):
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(repr, get_args(choices)))}")


def check_rows(**groups: tuple[Tensor, ...]) -> None:
    """Raise ValueError unless the tensors of each group have the same number of rows; others might broadcast."""
    for name, tensors in groups.items():
        if len({len(tensor) for tensor in tensors}) > 1:
            shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors)
            raise ValueError(f"{name}: {shapes} do not have the same number of rows")
