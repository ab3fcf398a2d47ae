"""Training states on disk: written to a temporary name and renamed, read without unpickling code."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coarsecon.errors import InputError

REMEDY = "restore the file, or begin the run again with another --out"


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write `state` (tensors and plain values) to `path` in one move; a crash leaves the former file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.unlink(missing_ok=True)  # never through a link
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
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no training state to resume from") from None
    except Exception as error:
        raise InputError(f"{path}: the training state cannot be read ({type(error).__name__}); {REMEDY}") from None
    if not (isinstance(state, dict) and all(isinstance(key, str) for key in state)):
        raise InputError(f"{path}: not a training state, but a {type(state).__name__}; {REMEDY}")
    return state


def restore(
    state: Mapping[str, Any], path: Path, method: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Load the state saved at `path` into a method and its optimizer; return the saved progress.

    Raises:
        InputError: it is the state of something else, or incomplete.
    """
    usual = [{key: type(value) for key, value in group.items()} for group in optimizer.param_groups]
    try:
        method.load_state_dict(state["method"])
        optimizer.load_state_dict(state["optimizer"])
        for parameter, kept in optimizer.state.items():
            _check_optimizer_state(optimizer, parameter, kept)
        for group, kinds in zip(optimizer.param_groups, usual, strict=True):
            wrong = [key for key, kind in kinds.items() if key != "lr" and type(group.get(key)) is not kind]
            if wrong:
                raise ValueError(f"{wrong[0]} of the optimizer is {group.get(wrong[0])!r:.40}")
        progress = {key: state["progress"][key] for key in ("step", "best", "best_epoch")}
        step, best, epoch = progress.values()
        if not (type(step) is int and step >= 0 and type(epoch) is int and isinstance(best, int | float)):
            raise ValueError("its progress is not in steps and epochs")
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else (str(error).splitlines() or ["?"])[0]
        raise InputError(f"{path}: not the state of this run ({why}); {REMEDY}") from None
    return progress


def _check_optimizer_state(optimizer: torch.optim.Optimizer, parameter: Any, kept: Mapping[str, Any]) -> None:
    if isinstance(optimizer, torch.optim.AdamW):
        kept["step"], kept["exp_avg"], kept["exp_avg_sq"]
    for name, value in kept.items():
        if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
            raise ValueError(f"{name} of the optimizer is {list(value.shape)}, not {list(parameter.shape)}")
        if value is not None and not isinstance(value, Tensor | int | float):
            raise ValueError(f"{name} of the optimizer is a {type(value).__name__}")
