"""Standard output and error for the length of a command: a closed pipe or an old encoding does not end the work."""

import errno
import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

CLOSED_PIPE = {errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN} | ({errno.EINVAL} if os.name == "nt" else set())
"""Errors of writing to a reader that has gone, such as `head`."""
RAISING = {"strict", "surrogateescape"}
"""Ways to handle characters that the encoding lacks which end in an error; the second is that of the locale C."""


@contextmanager
def standard_streams() -> Iterator[None]:
    """Keep a command working whatever its output goes to.

    Characters that standard output cannot encode become `?`, and text for a reader that has gone is dropped, so that
    results are still written to their files and the exit code is the usual one. No error of standard error ends the
    work: a log on a full disk loses lines, a training that writes it continues.
    """
    _occupy_descriptors()
    before = sys.stdout, sys.stderr
    kept = _Stream(before[0]), _Stream(before[1], drops=True)
    sys.stdout, sys.stderr = kept
    try:
        yield
    finally:
        for stream in kept:
            stream.flush()
        sys.stdout, sys.stderr = before


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print warnings of deprecated names as one line, without the line of code that raised them."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, FutureWarning):
            print(f"Warning: {message}", file=sys.stderr)
        else:
            usual(message, category, *place, **options)

    with warnings.catch_warnings():
        usual = warnings.showwarning
        warnings.filterwarnings("always", category=FutureWarning, module="coarsecon")
        warnings.showwarning = show
        yield


class _Stream:
    """A text stream that drops what its reader no longer takes, and with `drops` whatever cannot be written."""

    def __init__(self, stream: IO[str] | None, *, drops: bool = False) -> None:
        self._drops = drops
        self._stream: Any = stream if stream is not None and not stream.closed else _nowhere()
        self._is_terminal = self._stream.isatty()
        if isinstance(self._stream, io.TextIOWrapper) and self._stream.errors in RAISING:
            with suppress(OSError):  # its descriptor is another than when it was opened
                self._stream.reconfigure(errors="replace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Write to the null device from here on if nobody reads; raise other errors."""
        is_gone = error.errno in CLOSED_PIPE or (self._is_terminal and error.errno == errno.EIO)
        if not is_gone:
            if self._drops:
                return
            raise error
        nowhere = _nowhere()
        try:
            os.dup2(nowhere.fileno(), self._stream.fileno())  # also for the buffer, and for what libraries print
        except (OSError, ValueError):
            self._stream = nowhere


def _nowhere() -> IO[str]:
    return Path(os.devnull).open("w", encoding="utf-8")


def _occupy_descriptors() -> None:
    """Open closed standard descriptors on the null device: a file opened later would get their numbers, and output."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
