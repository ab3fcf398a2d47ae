"""Training states on disk: written to a temporary name and renamed, read without unpickling code."""

import os
from pathlib import Path
from typing import Any

import torch

from coarsecon.errors import InputError


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write `state` (tensors and plain values) to `path` in one move; a crash leaves the former file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state saved at `path`, on the CPU.

    Raises:
        InputError: the file is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no training state to resume from") from None
    except Exception as error:
        raise InputError(f"{path}: the training state cannot be read ({type(error).__name__})") from None
