"""Choice of device and precision."""

import time
from contextlib import AbstractContextManager
from functools import cache
from typing import TypeVar

import torch
from torch import nn

from coarsecon.errors import InputError

M = TypeVar("M", bound=nn.Module)

MIN_BFLOAT16_SPEEDUP = 1.2
"""Minimum speed-up of convolutions by bfloat16; the casts of autocast cost as much as a smaller one gains."""


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is the accelerator if there is one.

    Raises:
        InputError: The device does not exist on this machine.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError("device", f"torch has no device called {name!r}", "try auto, cpu or cuda") from None
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError("device", f"{name!r} cannot be used on this machine ({reason})", "try cpu") from None
    return device


def to_device(module: M, device: torch.device | str) -> M:
    """Move the module to `device`, with the weights of convolutions in channels-last memory format."""
    module.to(device)
    for values in [*module.parameters(), *module.buffers()]:
        if values.ndim == 4:  # to(memory_format=...) fails at the weights of a 3D convolution
            values.data = values.data.contiguous(memory_format=torch.channels_last)
    return module


def choose_precision(name: str, device: torch.device) -> str:
    """Return `float32` or `bfloat16`; `auto` is bfloat16 where the hardware is faster with it.

    A CPU is timed once per process: the first call may take 0.2 seconds.
    """
    if name != "auto":
        return name
    return "bfloat16" if _gains_from_bfloat16(device.type) else "float32"


@cache
def _gains_from_bfloat16(kind: str) -> bool:
    """Measure whether bfloat16 is faster; some CPUs have the instructions and still convolve slower with them."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu" or not _has_instructions():
        return False
    seconds = _seconds_of_convolution((torch.float32, torch.bfloat16))
    return seconds[torch.float32] > MIN_BFLOAT16_SPEEDUP * seconds[torch.bfloat16]


def _has_instructions() -> bool:
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


@torch.no_grad()
def _seconds_of_convolution(dtypes: tuple[torch.dtype, ...]) -> dict[torch.dtype, float]:
    """Time a layer of ResNet: the minimum of nine repeats, which alternate between the types."""
    layers = {}
    for dtype in dtypes:
        images = torch.ones(16, 64, 16, 16, dtype=dtype).contiguous(memory_format=torch.channels_last)
        layers[dtype] = images, torch.ones(64, 64, 3, 3, dtype=dtype)
    times: dict[torch.dtype, list[float]] = {dtype: [] for dtype in dtypes}
    for _ in range(9):
        for dtype, (images, kernel) in layers.items():
            begin = time.perf_counter()
            torch.nn.functional.conv2d(images, kernel, padding=1)
            times[dtype].append(time.perf_counter() - begin)
    return {dtype: min(seconds) for dtype, seconds in times.items()}


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Return the autocast context of a precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
