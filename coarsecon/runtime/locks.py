"""Locks between processes; the operating system releases the lock of a process that ends or is killed."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from coarsecon.errors import InputError

POLL_SECONDS = 0.1
"""Pause between attempts to take a lock that another process holds."""


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
                # A holder removes the file on release, and a lock on a removed file excludes nobody.
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

    def release(self) -> None:
        """Release the lock and remove its file."""
        with suppress(OSError):  # Windows removes no open file
            self.path.unlink()
        self._lock.release()


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Wait for the lock `path`, and hold it within the block."""
    lock = Lock(path)
    lock.wait()
    try:
        yield
    finally:
        lock.release()


def acquire_or_raise(path: Path, busy: InputError) -> Lock:
    """Take the lock `path`.

    Raises:
        InputError: `busy`, if another process holds it.
    """
    lock = Lock(path)
    if not lock.acquire():
        raise busy
    return lock
