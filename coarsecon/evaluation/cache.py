"""Rows of numbers made once and kept: the file grows as they come, so that a killed command is taken up again."""

import io
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from coarsecon.errors import CoarseconError
from coarsecon.reporting import Reporter

try:
    import fcntl
except ImportError:  # not on Windows: there two commands at once would make the same file twice
    fcntl = None  # type: ignore[assignment]

SUFFIXES = (".npy", ".partial", ".safetensors")
KEPT_OF_A_NAME = 8
"""Files kept of one name and one encoder, for example of a folder whose images change."""

Rows = Callable[[int], Iterator[Tensor]]
"""`rows(start)` gives the rows from `start` on, as float32 [B, W] pieces of one width W."""


def cached_rows(path: Path, count: int, rows: Rows, *, piece: int, reporter: Reporter) -> Tensor:
    """float32 [count, W], mapped from the .npy file `path`; what it lacks comes from `rows`.

    Rows are appended to a hidden sibling, which becomes `path` once it is whole. One that a killed process left is
    continued from a multiple of `piece` rows. A second process that wants the same file waits for the first.

    Raises:
        CoarseconError: the disk refuses.
    """
    found = read_rows(path, count)
    if found is None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _make(path, count, rows, piece, reporter)
        except OSError as error:
            raise CoarseconError(f"cannot write {path}: {error.strerror}") from error
        found = read_rows(path, count)
    if found is None:
        raise CoarseconError(f"{path}: vanished while it was made; is another command cleaning this run?")
    with suppress(OSError):
        os.utime(path)  # its last use, by which `remove_dead` chooses
    return found


def read_rows(path: Path, count: int) -> Tensor | None:
    """The file at `path`, mapped; None when it is not there, is broken, or has another number of rows."""
    try:
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = isinstance(array, np.ndarray) and array.dtype == np.float32 and array.ndim == 2 and len(array) == count
    return torch.from_numpy(array) if fits else None


def remove_dead(folder: Path, alive: Collection[str]) -> None:
    """Remove the files of encoders other than those `alive`, and of each name the least used beyond a few.

    Files are called NAME-CONTENT-ENCODER.npy.
    """
    kept: dict[tuple[str, str], int] = {}
    files = [file for file in folder.iterdir() if file.suffix in SUFFIXES] if folder.is_dir() else []
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        rest, _, encoder = file.name.removesuffix(".partial").lstrip(".").removesuffix(".npy").rpartition("-")
        kind = rest.rpartition("-")[0], encoder
        kept[kind] = kept.get(kind, 0) + 1
        if encoder not in alive or kept[kind] > KEPT_OF_A_NAME:
            with suppress(OSError):
                file.unlink()


def _make(path: Path, count: int, rows: Rows, piece: int, reporter: Reporter) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("a+b") as file:
        _lock(file, path, reporter)
        if read_rows(path, count) is not None:  # another process made it in the meantime
            partial.unlink(missing_ok=True)
            return
        for chunk in rows(_resumed(file, count, piece)):
            if file.tell() == 0:
                file.write(_header(count, chunk.shape[1]))
            file.write(np.ascontiguousarray(chunk.numpy(), dtype=np.float32).data)
            file.flush()
        os.fsync(file.fileno())
    with suppress(FileNotFoundError):  # a process that waited may have been faster
        partial.replace(path)


def _resumed(file: BinaryIO, count: int, piece: int) -> int:
    """Cut the file to a multiple of `piece` rows, and say how many that are; 0 when it holds anything else."""
    file.seek(0)
    start, size = 0, 0
    try:
        npy.read_magic(file)
        (_, width), _, _ = npy.read_array_header_1_0(file)
        header = file.tell()
        file.seek(0)
        if file.read(header) == _header(count, width):
            done = (os.fstat(file.fileno()).st_size - header) // (4 * width)
            start = done if done >= count else done // piece * piece
            size = header + start * 4 * width
    except ValueError:
        pass
    file.truncate(size if start else 0)
    file.seek(0, os.SEEK_END)
    return start


def _header(count: int, width: int) -> bytes:
    out = io.BytesIO()
    npy.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": (count, width)})
    return out.getvalue()


def _lock(file: BinaryIO, path: Path, reporter: Reporter) -> None:
    """Held until the file is closed, or its process gone."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        reporter.info(f"another command is making {path.name}; waiting for it")
        fcntl.flock(file, fcntl.LOCK_EX)
