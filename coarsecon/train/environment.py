"""Where a run happened: versions, device, precision, and the state of the code."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import torch

from coarsecon.runs import FORMAT_VERSION

PACKAGES = ("coarsecon", "torch", "torchvision", "timm", "numpy", "safetensors", "faiss-cpu")


def describe_environment(device: torch.device, precision: str, *, ranks: int = 1) -> dict[str, Any]:
    """What is written to environment.json."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "format_version": FORMAT_VERSION,
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {package: _version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "device": f"{device} ({name})",
        "precision": precision,
        "ranks": ranks,
        "threads": torch.get_num_threads(),
        "git": _git_state(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except ImportError:
        return "not installed"


def _git_state() -> str:
    """The commit of the working directory, marked when it has changes; empty outside a repository."""
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, env=environment)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "HEAD")
    return f"{commit} with changes" if commit and git("status", "--porcelain") else commit
