"""Read untrusted checkpoints without running code in them, and find their sets of weights."""

import argparse
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from coarsecon.errors import InputError

MAX_BYTES = 16 * 2**30
"""Maximum size of an unpacked checkpoint; published ones are smaller, including their optimizers."""

MAX_DEPTH = 4
"""Maximum depth of dictionaries with weights in a file."""

WRAPPERS = re.compile(r"(^|\.)(?:(?:module|_orig_mod)\.)+")
"""Prefixes of names from parallel training and torch.compile."""


class Ignored:
    """Replacement for NumPy values next to weights, such as the best accuracy; does nothing."""

    def __init__(self, *args: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


NUMPY = (
    "numpy.ndarray", "numpy.dtype",
    *(f"numpy.{core}.{name}" for core in ("core", "_core")
      for name in ("multiarray.scalar", "multiarray._reconstruct", "numeric._frombuffer")),
)  # fmt: skip

ALLOWED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace, *((Ignored, name) for name in NUMPY),
]  # fmt: skip
"""Classes other than tensors and containers that a file may use: old ones store arguments and metrics so."""


@dataclass(frozen=True)
class ForeignCheckpoint:
    """The weights in a file, and its other keys.

    `sets` has every dictionary of tensors by its path of keys, joined by dots ("" is the top level), such as
    `state_dict` and `state_dict_ema`; names are without `module.` and `_orig_mod.`. `others` are the remaining keys.
    """

    sets: dict[str, dict[str, Tensor]]
    others: list[str] = field(default_factory=list)

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The largest set of weights; the first one in case of a tie."""
        return max(self.sets.values(), key=lambda state: sum(value.numel() for value in state.values()))


def read_checkpoint(path: Path, *, max_bytes: int = MAX_BYTES) -> ForeignCheckpoint:
    """Read the weights of a .safetensors file or one that torch saved.

    Only tensors, plain containers, argparse namespaces and NumPy values are read.

    Raises:
        InputError: The file is missing, too large or broken, needs code to run, or has no weights.
    """
    if not path.is_file():
        raise InputError(path, *_not_a_file(path))
    if _unpacked_size(path) > max_bytes:
        raise InputError(path, f"larger than {max_bytes / 2**30:g} GiB, more than any published checkpoint")
    content = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    if not isinstance(content, Mapping):
        raise InputError(path, f"has a {type(content).__name__}, not weights by name", "save model.state_dict()")
    sets = {key: tensors for key, tensors in _sets(content).items() if any(value.ndim for value in tensors.values())}
    if not sets:
        found = ", ".join(map(str, list(content)[:8])) or "nothing"
        raise InputError(path, f"has no weights, but {found}")
    for state in sets.values():
        inflated = [name for name, value in state.items() if value.numel() * value.element_size() > _stored(value)]
        if inflated:
            raise InputError(path, f"{inflated[0]} claims more numbers than the file has")
    taken = {key.partition(".")[0] for key in sets} | set(_tensors(content) if "" in sets else ())
    others = [str(key) for key in content if str(key) not in taken]
    return ForeignCheckpoint({key: {WRAPPERS.sub(r"\1", name): value for name, value in state.items()}
                       for key, state in sets.items()}, others)  # fmt: skip


def _sets(content: Mapping[Any, Any], key: str = "", depth: int = 0) -> dict[str, dict[str, Tensor]]:
    """Find every dictionary of tensors; those of an optimizer are numbered, and omitted."""
    found = {}
    if tensors := _tensors(content):
        found[key] = tensors
    for name, inner in content.items():
        if isinstance(inner, Mapping) and isinstance(name, str) and depth < MAX_DEPTH:
            found |= _sets(inner, f"{key}.{name}".lstrip("."), depth + 1)
    return found


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(9)
    return path.suffix == ".safetensors" or (start[8:] == b"{" and int.from_bytes(start[:8], "little") < 2**27)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(path, f"cannot be read as safetensors ({str(error).splitlines()[0]})") from None


def _read_torch(path: Path) -> Any:
    if other := _something_else(path):
        raise InputError(path, *other)
    try:
        with torch.serialization.safe_globals(ALLOWED):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or hostile file raises anything
        reason = str(error)
        found = re.search(r"Unsupported (?:global|class)[^:]*: (?:GLOBAL )?(\S+)", reason)
        if found:
            raise InputError(
                path,
                f"not a checkpoint that can be loaded safely: reading it would run code ({found[1]})",
                "if you trust its author, save only the weights in its original environment: "
                "torch.save(model.state_dict(), FILE)",
            ) from None
        if _is_pickle(path):
            raise InputError(
                path,
                "not a checkpoint that can be loaded safely, but a pickle that torch.save did not write",
                "load it in its original environment, and torch.save its tensors by name",
            ) from None
        if not isinstance(error, RuntimeError | OSError):  # others are internal errors of torch
            raise InputError(path, "not a checkpoint: neither safetensors nor saved by torch") from None
        first = reason.strip().splitlines()[0].split(". ")[0][:150] if reason.strip() else type(error).__name__
        raise InputError(path, f"not a checkpoint that can be loaded safely ({first})") from None


def _tensors(mapping: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in mapping.items() if isinstance(name, str) and isinstance(value, Tensor)}


def _stored(value: Tensor) -> int:
    """Return the size of a tensor's storage in bytes; 0 for a sparse or nested one."""
    try:
        return value.untyped_storage().nbytes()
    except (NotImplementedError, RuntimeError):
        return 0


def _unpacked_size(path: Path) -> int:
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            return max(size, sum(entry.file_size for entry in archive.infolist()))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # no archive, or a broken one
        return size


def _not_a_file(path: Path) -> tuple[str, str]:
    """Return problem and hint for a path that is no file; for a run folder, suggest the file in it."""
    if not path.is_dir():
        return "no such file", "check the path"
    inside = path / "encoder.safetensors"
    return "is a folder", f"name the checkpoint file{f', {inside}' * inside.is_file()}"


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"\x80"


def _something_else(path: Path) -> tuple[str, str] | None:
    """Return problem and hint for a file whose first bytes are not those of a checkpoint."""
    with path.open("rb") as file:
        start = file.read(256).lstrip().lower()
    if not start:
        return "is empty", "download or copy it again"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not a checkpoint: the download failed or needs a login", "download the file again"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the checkpoint", "download the file with `git lfs pull`"
    return None
