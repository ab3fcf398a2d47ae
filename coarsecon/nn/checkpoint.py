"""Read checkpoints of any origin without running anything in them, and find the sets of weights they hold."""

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
"""Maximum size of a checkpoint, unpacked; published ones, their optimizers included, are smaller."""

MAX_DEPTH = 4
"""Maximum depth of dictionaries in a file at which weights are looked for."""

WRAPPERS = re.compile(r"(^|\.)(?:(?:module|_orig_mod)\.)+")
"""Parts of names that parallel training and torch.compile add."""


class Ignored:
    """Stand-in for NumPy's values beside weights, such as the best accuracy so far; holds nothing and does nothing."""

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
"""Classes beyond tensors and plain containers that a file may name: old ones keep arguments and metrics so."""


@dataclass(frozen=True)
class ForeignCheckpoint:
    """The weights in a file, and what else it holds.

    `sets` has every dictionary of tensors by the keys that lead to it, joined by dots ("" is the file's own), such
    as `state_dict` and `state_dict_ema`; its names are without `module.` and `_orig_mod.`. `others` are the remaining
    keys.
    """

    sets: dict[str, dict[str, Tensor]]
    others: list[str] = field(default_factory=list)

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The largest set of weights, the first of equal ones."""
        return max(self.sets.values(), key=lambda state: sum(value.numel() for value in state.values()))


def read_checkpoint(path: Path) -> ForeignCheckpoint:
    """The weights of a .safetensors file or one that torch saved.

    Only tensors and plain containers are read, argparse's namespaces and NumPy's values among them.

    Raises:
        InputError: the file is missing, too large, broken, needs code to be run, or holds no weights.
    """
    if not path.is_file():
        raise InputError(f"{path}: {_not_a_file(path)}")
    if _unpacked_size(path) > MAX_BYTES:
        raise InputError(f"{path}: more than {MAX_BYTES >> 30} GiB, larger than any published checkpoint; refused")
    content = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: holds a {type(content).__name__}, not weights by name; save model.state_dict()")
    sets = {key: tensors for key, tensors in _sets(content).items() if any(value.ndim for value in tensors.values())}
    if not sets:
        raise InputError(f"{path}: holds no weights; it has {', '.join(map(str, list(content)[:8])) or 'nothing'}")
    for state in sets.values():
        inflated = [name for name, value in state.items() if value.numel() * value.element_size() > _stored(value)]
        if inflated:
            raise InputError(f"{path}: {inflated[0]} claims to have more numbers than the file holds; refused")
    taken = {key.partition(".")[0] for key in sets} | set(_tensors(content) if "" in sets else ())
    others = [str(key) for key in content if str(key) not in taken]
    return ForeignCheckpoint({key: {WRAPPERS.sub(r"\1", name): value for name, value in state.items()}
                       for key, state in sets.items()}, others)  # fmt: skip


def _sets(content: Mapping[Any, Any], key: str = "", depth: int = 0) -> dict[str, dict[str, Tensor]]:
    """Every dictionary of tensors; those of an optimizer are numbered, and left out."""
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
        raise InputError(f"{path}: cannot be read as safetensors ({str(error).splitlines()[0]})") from None


def _read_torch(path: Path) -> Any:
    if problem := _something_else(path):
        raise InputError(f"{path}: {problem}")
    try:
        with torch.serialization.safe_globals(ALLOWED):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or hostile file raises anything
        reason = str(error)
        found = re.search(r"Unsupported (?:global|class)[^:]*: (?:GLOBAL )?(\S+)", reason)
        if found:
            raise InputError(
                f"{path}: not a checkpoint that can be loaded safely: it needs {found[1]}, code that reading it would "
                "run. If you trust its maker, save only its weights where it was made: "
                "torch.save(model.state_dict(), FILE)"
            ) from None
        if _is_pickle(path):
            raise InputError(
                f"{path}: not a checkpoint that can be loaded safely, but a pickle that torch.save did not write; "
                "load it where it was made, and torch.save its tensors by name"
            ) from None
        if not isinstance(error, RuntimeError | OSError):  # what it is then called helps none but torch's makers
            raise InputError(f"{path}: not a checkpoint: neither safetensors nor what torch saves") from None
        first = reason.strip().splitlines()[0].split(". ")[0][:150] if reason.strip() else type(error).__name__
        raise InputError(f"{path}: not a checkpoint that can be loaded safely ({first})") from None


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
    try:
        with zipfile.ZipFile(path) as archive:
            return max(size, sum(entry.file_size for entry in archive.infolist()))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # no archive, or a broken one
        return size


def _not_a_file(path: Path) -> str:
    """What is wrong with a path to weights that names no file; for a run folder, which file in it is meant."""
    if not path.is_dir():
        return "no such file of weights"
    inside = path / "encoder.safetensors"
    return f"is a folder; name the file of weights{f', {inside}' * inside.is_file()}"


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"\x80"


def _something_else(path: Path) -> str | None:
    """What a file is that is no checkpoint, where that is plain from its start."""
    with path.open("rb") as file:
        start = file.read(256).lstrip().lower()
    if not start:
        return "is empty; fetch or copy it again"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not a checkpoint: the download failed or needs a login; fetch the file again"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the checkpoint; fetch the file with `git lfs pull`"
    return None
