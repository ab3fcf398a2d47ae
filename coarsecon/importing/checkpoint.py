"""Checkpoints of strangers: opened without running anything in them, and found the weights in."""

import argparse
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from coarsecon.errors import InputError

MAX_BYTES = 4 * 2**30
"""Of a checkpoint, unpacked; published ones have less than 1 GiB."""

CONTAINERS = ("state_dict", "model", "model_state_dict", "net")
"""Under which of these keys a file keeps its weights beside other things."""

ALLOWED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [argparse.Namespace]
"""Classes beyond tensors and plain containers that may stand in a file: old ones keep their arguments so."""


@dataclass(frozen=True)
class Checkpoint:
    """The weights in a file by name, without the `module.` of parallel training, and what else it holds."""

    state: dict[str, Tensor]
    others: list[str] = field(default_factory=list)


def read_checkpoint(path: Path) -> Checkpoint:
    """The weights of a .safetensors file or one that torch saved.

    Only tensors, plain containers and argparse's namespaces are read.

    Raises:
        InputError: the file is missing, too large, broken, needs code to be run, or holds no weights.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if _unpacked_size(path) > MAX_BYTES:
        raise InputError(f"{path}: more than {MAX_BYTES >> 30} GiB, which no checkpoint of these has; refused")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    weights, others = _weights(content)
    if not weights:
        raise InputError(f"{path}: holds no weights; it has {_listed(content)}")
    inflated = [name for name, value in weights.items() if value.numel() * value.element_size() > _stored(value)]
    if inflated:
        raise InputError(f"{path}: {inflated[0]} claims to have more numbers than the file holds; refused")
    return Checkpoint({re.sub(r"(^|\.)module\.", r"\1", name): value for name, value in weights.items()}, others)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as safetensors ({str(error).splitlines()[0]})") from None


def _read_torch(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(ALLOWED):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or hostile file raises anything
        reason = str(error)
        found = re.search(r"Unsupported (?:global|class)[^:]*: (?:GLOBAL )?(\S+)", reason)
        if found:
            raise InputError(
                f"{path}: needs {found[1]}, code that reading it would run; refused. If you trust its maker, save "
                "its weights alone where it was made: torch.save(model.state_dict(), FILE)"
            ) from None
        if not isinstance(error, RuntimeError | OSError):  # what it is then called helps none but torch's makers
            raise InputError(f"{path}: not a checkpoint: neither safetensors nor what torch saves") from None
        first = reason.strip().splitlines()[0].split(". ")[0][:150] if reason.strip() else type(error).__name__
        raise InputError(f"{path}: not a checkpoint that can be loaded safely ({first})") from None


def _weights(content: Any) -> tuple[dict[str, Tensor], list[str]]:
    if not isinstance(content, Mapping):
        return {}, []
    for key in CONTAINERS:
        inner = content.get(key)
        if isinstance(inner, Mapping) and any(isinstance(value, Tensor) for value in inner.values()):
            return _tensors(inner), [str(other) for other in content if other != key]
    tensors = _tensors(content)
    return tensors, [str(name) for name in content if name not in tensors]


def _tensors(mapping: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in mapping.items() if isinstance(name, str) and isinstance(value, Tensor)}


def _stored(value: Tensor) -> int:
    """Bytes behind a tensor; a sparse or nested one has no storage to ask."""
    try:
        return value.untyped_storage().nbytes()
    except (NotImplementedError, RuntimeError):
        return 0


def _unpacked_size(path: Path) -> int:
    size = path.stat().st_size
    if not zipfile.is_zipfile(path):
        return size
    try:
        with zipfile.ZipFile(path) as archive:
            return max(size, sum(entry.file_size for entry in archive.infolist()))
    except zipfile.BadZipFile:
        return size


def _listed(content: Any) -> str:
    names = [str(name) for name in content] if isinstance(content, Mapping) else [type(content).__name__]
    return ", ".join(names[:8]) or "nothing"
