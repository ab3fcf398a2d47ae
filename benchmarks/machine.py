"""A line that tells on what machine a benchmark ran."""

import platform
import resource
import sys
from pathlib import Path

import torch


def describe_machine() -> str:
    """Processor, threads, accelerator and torch version."""
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


def peak_mib() -> float:
    """The most memory that this process has had resident so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
