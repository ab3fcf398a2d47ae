"""Description of the machine and measurement of memory for the benchmarks."""

import platform
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch


def describe_machine() -> str:
    """Return processor, threads, accelerator, and torch version."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    parts = [cpu, f"{torch.get_num_threads()} threads", f"torch {torch.__version__}"]
    if torch.cuda.is_available():
        parts.insert(2, torch.cuda.get_device_name())
    return ", ".join(parts)


def synchronize() -> None:
    """Wait for the accelerator, if there is one, before reading a clock."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def watch_memory() -> Callable[[], float]:
    """Start measuring; the returned function gives the peak resident MiB beyond the current ones.

    Outside Linux it gives the MiB beyond the current peak.
    """
    forget = Path("/proc/self/clear_refs")
    if not forget.exists():
        before = _peak()
        return lambda: _peak() - before
    resident = _resident("VmRSS")
    forget.write_text("5")
    return lambda: _resident("VmHWM") - resident


def _resident(entry: str) -> float:
    """Return the MiB of this process: VmRSS now, or VmHWM at the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry)) / 2**10


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
