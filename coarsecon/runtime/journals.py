"""Append-only files whose lines are on the disk before anything is shown or acknowledged."""

import os
from datetime import UTC, datetime
from pathlib import Path

from coarsecon.runtime.files import open_to_append


def utc_now() -> str:
    """Return the UTC time of an entry, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def append_synced(file: Path, size: int, lines: bytes) -> int:
    """Replace everything after the first `size` bytes of a file by complete lines, and wait until they are on the disk.

    What follows those bytes is an incomplete line of a killed process or of a full disk. A last line without a line
    feed, as some editors save it, is completed first. If writing fails, the lines are removed again.

    Returns:
        The new size in bytes.

    Raises:
        OSError: Writing fails.
    """
    with open_to_append(file) as opened:
        opened.truncate(size)
        if size:
            opened.seek(size - 1)
            lines = lines if opened.read(1) == b"\n" else b"\n" + lines
        try:
            opened.write(lines)
            opened.flush()
            os.fsync(opened.fileno())
        except OSError:
            os.ftruncate(opened.fileno(), size)
            raise
    return size + len(lines)


def sync_folder(folder: Path) -> None:
    """Write the entries of a folder to the disk, where the system can.

    Raises:
        OSError: Writing fails.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    opened = os.open(folder, os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
