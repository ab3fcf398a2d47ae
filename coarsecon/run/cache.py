"""Cache rows of numbers: the file grows as they are computed, so that a killed command can be continued."""

import io
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from coarsecon.errors import CoarseconError
from coarsecon.runtime.distributed import Distributed
from coarsecon.runtime.files import cannot_write, open_to_append
from coarsecon.runtime.locks import Lock
from coarsecon.runtime.progress import Reporter

T = TypeVar("T")

NAME = re.compile(r"(?P<name>.+)-[0-9a-f]{12}-(?P<encoder>[0-9a-f]{12})\.npy")
MAX_FILES_PER_NAME = 8
"""Cached files per name and encoder, for example of a folder whose images change."""

POLL_SECONDS = 0.2
"""Seconds after which a file that another command is making is checked again."""

Rows = Callable[[int], Iterator[Tensor]]
"""`rows(start)` yields the rows from `start`, as float32 [B, W] chunks of one width W; the same on every rank."""


def cached_rows(
    path: Path, count: int, rows: Rows, *, piece: int, reporter: Reporter, comm: Distributed | None = None
) -> Tensor:
    """Return float32 [count, W], memory-mapped from the .npy file `path`; `rows` computes missing rows.

    Rows are appended to a hidden sibling, which becomes `path` once it is complete. One that a killed process left is
    continued from a multiple of `piece` rows. A second process that wants the same file waits for the first.

    Of several ranks, which all call this, only the first writes; the others read the file once it is complete.

    Raises:
        CoarseconError: Writing fails, or a rank does not see the file of the first.
        NotWritableError: Rows are missing, and this user cannot write them.
    """
    comm = comm or Distributed()

    def first(act: Callable[[], T]) -> T:
        return comm.broadcast_object(partial(_on_disk, path, act))

    if not first(lambda: _is_whole(path, count)):
        growing = _Growing(path, count)
        try:
            if not first(growing.acquire):
                reporter.info(f"another command is making {path.name}; waiting for it")
                while not first(growing.acquire):  # asked again and again: no rank could wait for long
                    time.sleep(POLL_SECONDS)
            start = first(lambda: growing.resumed(piece))
            if start is not None:
                for chunk in rows(start):
                    first(partial(growing.append, chunk))
                first(growing.put_in_place)
        finally:
            growing.close()
    found = read_rows(path, count)
    if found is None:
        raise CoarseconError(
            f"{path}: vanished while it was made; is another command cleaning this run, "
            "or is its folder on a disk that only some machines see?"
        )
    with suppress(OSError):
        os.utime(path)  # its last use, by which `remove_dead` chooses
    return found


def _is_whole(path: Path, count: int) -> bool:
    return read_rows(path, count) is not None


def _on_disk(path: Path, act: Callable[[], T]) -> T:
    try:
        return act()
    except OSError as error:
        raise cannot_write(path, error) from error


def read_rows(path: Path, count: int) -> Tensor | None:
    """Return the file at `path`, memory-mapped; None if it is missing, broken, or has another number of rows."""
    try:
        array = npy.open_memmap(path, mode="c")  # `np.load` would also open archives and pickles
    except Exception:  # a broken header can raise anything
        return None
    fits = array.dtype == np.float32 and array.ndim == 2 and len(array) == count and array.shape[1] > 0
    return torch.from_numpy(array) if fits else None


def remove_dead(folder: Path, alive: Collection[str]) -> None:
    """Remove the files of encoders other than those `alive`, and the least recently used files of each name.

    Only files called NAME-CONTENT-ENCODER.npy that `cached_rows` has recorded are removed, and nothing
    in a folder that is a symbolic link.
    """
    if folder.is_symlink() or not folder.is_dir():
        return
    files = [(folder / name, match) for name in _recorded(folder) if (match := NAME.fullmatch(name))]
    made = [(each, match) for file, match in files for each in (file, _partial(file)) if _is_regular(each)]
    kept: dict[tuple[str, str], int] = {}
    for file, match in sorted(made, key=lambda each: each[0].stat().st_mtime, reverse=True):
        kind = match["name"], match["encoder"]
        kept[kind] = kept.get(kind, 0) + 1
        if match["encoder"] not in alive or kept[kind] > MAX_FILES_PER_NAME:
            with suppress(OSError):
                file.unlink()


def _manifest(folder: Path) -> Path:
    """Return the sibling of a folder that lists the files that `cached_rows` has made in it, one per line."""
    return folder.with_name(f".{folder.name}.files")


def _recorded(folder: Path) -> set[str]:
    try:
        return set(_manifest(folder).read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return set()


def _record(file: Path) -> None:
    """Add a file to the manifest of its folder before creating it, so that files of killed processes are listed too."""
    if NAME.fullmatch(file.name) and file.name not in _recorded(file.parent):
        with _manifest(file.parent).open("a", encoding="utf-8") as manifest:
            manifest.write(f"{file.name}\n")


def _partial(file: Path) -> Path:
    return file.with_name(f".{file.name}.partial")


def _is_regular(file: Path) -> bool:
    return file.is_file() and not file.is_symlink()


class _Growing:
    """Hidden file next to `path`, open while rows are appended."""

    file: BinaryIO

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count
        self.place = _partial(path)
        self.lock = Lock(path.with_name(f".{path.name}.lock"))
        self.has_lock = False

    def acquire(self) -> bool:
        """Acquire the lock unless another process has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.has_lock = self.lock.acquire()
        return self.has_lock

    def resumed(self, piece: int) -> int | None:
        """Return how many rows there are to continue from; None if another process has completed the file."""
        if _is_whole(self.path, self.count):
            return None
        _record(self.path)
        self.file = open_to_append(self.place)
        return _resumed(self.file, self.count, piece)

    def append(self, chunk: Tensor) -> None:
        if self.file.tell() == 0:
            self.file.write(_header(self.count, chunk.shape[1]))
        self.file.write(np.ascontiguousarray(chunk.numpy(), dtype=np.float32).data)
        self.file.flush()

    def put_in_place(self) -> None:
        os.fsync(self.file.fileno())
        self.file.close()
        self.place.replace(self.path)

    def close(self) -> None:
        if hasattr(self, "file"):
            self.file.close()
        if self.has_lock:
            self.lock.release()


def _resumed(file: BinaryIO, count: int, piece: int) -> int:
    """Truncate the file to a multiple of `piece` rows and return their number; 0 if it contains anything else."""
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
