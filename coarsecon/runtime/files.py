"""Write files atomically: each is completed under a hidden name, then renamed."""

import errno
import os
import re
import time
from contextlib import suppress
from io import BufferedRandom
from pathlib import Path
from uuid import uuid4

from coarsecon.errors import CoarseconError, NotWritableError

LEFTOVER_SECONDS = 600
"""Minimum age of a temporary file of `atomic_write` that a killed process left."""


def atomic_write(path: Path | str, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path`, completely or not at all; missing parent folders are made.

    Raises:
        NotWritableError: This user cannot write there.
        CoarseconError: The file cannot be written for another reason, such as a full disk.
    """
    path = Path(path)
    sibling = _sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            sibling.write_bytes(content.encode() if isinstance(content, str) else content)
            sibling.replace(path)
        finally:
            sibling.unlink(missing_ok=True)
        _remove_leftovers(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> CoarseconError:
    """Return the error to raise when the system refused to write `path`."""
    is_forbidden = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    kind = NotWritableError if is_forbidden else CoarseconError
    return kind(path, f"cannot be written ({error.strerror})")


def is_inside(path: Path, root: Path) -> bool:
    """Return True if `path`, after following symbolic links, is in the folder `root`; it need not exist."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # circular links
        return False


def open_to_append(path: Path) -> BufferedRandom:
    """Open a file to read it and to append to it; raises OSError where it is a symbolic link."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)

    return open(path, "a+b", opener=opener)


def several(names: list[str]) -> str:
    """Join the first three names, and count the others."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _sibling(path: Path) -> Path:
    """Return a unique hidden name next to `path`, on the same file system."""
    return path.with_name(f".{path.name}.{uuid4().hex}.partial")


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files next to `path` of processes that were killed while writing it."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{32}}\.partial")
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            is_leftover = pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            if is_leftover and time.time() - entry.stat().st_mtime > LEFTOVER_SECONDS:
                Path(entry.path).unlink()
