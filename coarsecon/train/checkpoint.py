"""Training states on disk: replaced in one move, and read without unpickling code."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coarsecon.errors import InputError

HINT = "restore the file, or start again in another folder"


@dataclass
class Progress:
    """Number of finished steps, and the best monitored score so far with its epoch (counted from 1)."""

    step: int = 0
    best: float = -1.0
    best_epoch: int = -1


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write `state` (tensors and plain values) to `path` in one move; a crash leaves the previous file intact."""
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
    """Load the state saved at `path`, on the CPU.

    Raises:
        InputError: The file is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(path, "no training state to resume from") from None
    except Exception as error:
        raise InputError(path, f"the training state cannot be read ({type(error).__name__})", HINT) from None
    if not (isinstance(state, dict) and all(isinstance(key, str) for key in state)):
        raise InputError(path, f"not a training state, but a {type(state).__name__}", HINT)
    return state


def restore(
    state: Mapping[str, Any], path: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer
) -> Progress:
    """Load the state read from `path` into modules, by their keys in it, and their optimizer; return its progress.

    Raises:
        InputError: The state belongs to something else, or is incomplete.
    """
    expected = [{name: type(value) for name, value in group.items()} for group in optimizer.param_groups]
    try:
        for key, module in modules.items():
            module.load_state_dict(state[key])
        optimizer.load_state_dict(state["optimizer"])
        for parameter, kept in optimizer.state.items():
            _check_optimizer_state(optimizer, parameter, kept)
        for group, kinds in zip(optimizer.param_groups, expected, strict=True):
            wrong = [name for name, kind in kinds.items() if name != "lr" and type(group.get(name)) is not kind]
            if wrong:
                raise ValueError(f"{wrong[0]} of the optimizer is {group.get(wrong[0])!r:.40}")
        # States of detectors saved by earlier versions hold the step only.
        saved = state["progress"] if "step" not in state else {**vars(Progress()), "step": state["step"]}
        progress = Progress(saved["step"], saved["best"], saved["best_epoch"])
        is_count = type(progress.step) is int and progress.step >= 0 and type(progress.best_epoch) is int
        if not (is_count and isinstance(progress.best, int | float)):
            raise ValueError("its progress is not in steps and epochs")
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else (str(error).splitlines() or ["?"])[0]
        raise InputError(path, f"not a state of this training ({why})", HINT) from None
    return progress


def _check_optimizer_state(optimizer: torch.optim.Optimizer, parameter: Any, kept: Mapping[str, Any]) -> None:
    if isinstance(optimizer, torch.optim.AdamW):
        kept["step"], kept["exp_avg"], kept["exp_avg_sq"]
    for name, value in kept.items():
        if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
            raise ValueError(f"{name} of the optimizer is {list(value.shape)}, not {list(parameter.shape)}")
        if value is not None and not isinstance(value, Tensor | int | float):
            raise ValueError(f"{name} of the optimizer is a {type(value).__name__}")
