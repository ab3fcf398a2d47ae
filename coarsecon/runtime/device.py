"""Where to compute, and in which precision."""

import time
from contextlib import AbstractContextManager
from functools import cache
from typing import TypeVar

import torch
from torch import nn

from coarsecon.errors import InputError

M = TypeVar("M", bound=nn.Module)

MIN_BFLOAT16_SPEEDUP = 1.2  # times as fast: less than this is lost to the casts of autocast


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` is the accelerator if there is one.

    Raises:
        InputError: the device does not exist here.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device {name!r}: torch knows none of this name; try auto, cpu or cuda") from None
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); try cpu") from None
    return device


def to_device(module: M, device: torch.device | str) -> M:
    """The module on `device`, the weights of its convolutions laid out as convolutions are fastest: channels last."""
    module.to(device)
    for values in [*module.parameters(), *module.buffers()]:
        if values.ndim == 4:  # torch's own to(memory_format=...) breaks off at the weights of a 3D convolution
            values.data = values.data.contiguous(memory_format=torch.channels_last)
    return module


def choose_precision(name: str, device: torch.device) -> str:
    """`float32` or `bfloat16`; `auto` is bfloat16 where the hardware is faster with it.

    A processor is timed for that, once: the first call may take two tenths of a second.
    """
    if name != "auto":
        return name
    return "bfloat16" if _gains_from_bfloat16(device.type) else "float32"


@cache
def _gains_from_bfloat16(kind: str) -> bool:
    """Asked once a process. To have the instructions is not enough of a processor: some convolve slower with them."""
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
def _seconds_of_convolution(dtypes: tuple[torch.dtype, ...], turns: int = 9) -> dict[torch.dtype, float]:
    """The least time of some turns for one of ResNet's layers; the types take turns, so that other work meets all."""
    layers = {}
    for dtype in dtypes:
        images = torch.ones(16, 64, 16, 16, dtype=dtype).contiguous(memory_format=torch.channels_last)
        layers[dtype] = images, torch.ones(64, 64, 3, 3, dtype=dtype)
    times: dict[torch.dtype, list[float]] = {dtype: [] for dtype in dtypes}
    for _ in range(turns):
        for dtype, (images, kernel) in layers.items():
            begin = time.perf_counter()
            torch.nn.functional.conv2d(images, kernel, padding=1)
            times[dtype].append(time.perf_counter() - begin)
    return {dtype: min(seconds) for dtype, seconds in times.items()}


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """The autocast context of a precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
