"""Describe where a run happened: versions, device, precision, and the commit of the code.

Nothing here starts a program: `git` and others read configuration from the current folder, which may run commands.
"""

import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from coarsecon.run.folder import FORMAT_VERSION

PACKAGES = ("coarsecon", "torch", "torchvision", "timm", "numpy", "safetensors", "faiss-cpu")

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
MAX_GIT_FILE = 4096
"""Characters read of a file of Git that holds one line."""


def describe_environment(device: torch.device, precision: str, *, ranks: int = 1) -> dict[str, Any]:
    """Return the content of environment.json."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "format_version": FORMAT_VERSION,
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {package: _version(package) for package in PACKAGES},
        "platform": system(),
        "device": f"{device} ({name})",
        "precision": precision,
        "ranks": ranks,
        "threads": torch.get_num_threads(),
        "git": git_commit(Path(__file__).parents[2]),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except ImportError:
        return "not installed"
    except Exception:  # its metadata cannot be read
        return "unknown"


def system() -> str:
    """Name, release and architecture of the operating system; `platform.platform` may start `uname`."""
    return f"{platform.system()}-{platform.release()}-{platform.machine()}"


def git_commit(checkout: Path) -> str:
    """Return the commit that is checked out in a folder, from the files of Git; empty if it is no checkout.

    Git itself is not called: it would run the programs that `.git/config` names. Linked worktrees, submodules and
    packed references are followed; uncommitted changes are not detected.
    """
    try:
        folder = checkout / ".git"
        if folder.is_file():  # a linked worktree or a submodule
            folder = checkout / _git_file(folder).removeprefix("gitdir: ")
        common = folder / _git_file(folder / "commondir") if (folder / "commondir").is_file() else folder
        commit = _git_file(folder / "HEAD")
        if commit.startswith("ref: "):
            commit = _reference(commit.removeprefix("ref: "), folder, common)
    except (OSError, ValueError):
        return ""
    return commit if COMMIT.fullmatch(commit) else ""


def _reference(name: str, folder: Path, common: Path) -> str:
    """Return the commit of a branch, from its own file or from the packed references; empty if there is none."""
    for home in (folder, common):
        if (home / name).is_file():
            return _git_file(home / name)
    lines = (common / "packed-refs").read_text(encoding="utf-8").splitlines()
    return next((line.split()[0] for line in lines if line.split()[1:] == [name]), "")


def _git_file(path: Path) -> str:
    """Return the content of a small file of Git, which ends in a line break."""
    with path.open(encoding="utf-8") as file:
        return file.read(MAX_GIT_FILE).rstrip("\n")
