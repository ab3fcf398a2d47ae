"""Locks between processes. The operating system releases them when their holder ends, however it ends."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from coarsecon.errors import InputError

POLL_SECONDS = 0.1
"""Pause between two attempts to take a lock that another process holds."""


class Lock:
    """A lock file, held by one process at a time and removed on release."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path, thread_local=False)

    def acquire(self) -> bool:
        """Take the lock if no other process or thread holds it.

        Raises:
            OSError: The lock file cannot be written, or it is a symbolic link.
        """
        while True:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666))
            try:
                before = self.path.stat()
                self._lock.acquire(timeout=0)
                # A holder removes the file on release: a lock on a removed file would exclude nobody.
                if os.path.samestat(before, self.path.stat()):
                    return True
            except Timeout:
                return False
            except FileNotFoundError:
                pass
            self._lock.release()

    def wait(self) -> None:
        """Take the lock as soon as its holder releases it."""
        while not self.acquire():
            time.sleep(POLL_SECONDS)

    def release(self, *, keep_file: bool = False) -> None:
        """Release the lock; `keep_file` leaves the file, for a holder that will come back to its unfinished work."""
        if not keep_file:
            with suppress(OSError):  # Windows removes no open file
                self.path.unlink()
        self._lock.release()


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Hold the lock `path` within the block, after waiting for its present holder."""
    lock = Lock(path)
    lock.wait()
    try:
        yield
    finally:
        lock.release()


def acquire_or_refuse(path: Path, busy: str) -> Lock:
    """Take the lock `path`.

    Raises:
        InputError: Another process holds it; the message is `busy`.
    """
    lock = Lock(path)
    if not lock.acquire():
        raise InputError(busy)
    return lock
