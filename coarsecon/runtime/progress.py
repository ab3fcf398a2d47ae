"""Progress of long work: the library calls a `Reporter` and prints nothing itself."""

from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Progress of one task; this base class is silent."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Count `amount` more units as done; `note` is a short text next to the bar."""


class Reporter:
    """Silent reporter, for notebooks and tests; the command line passes one that draws bars."""

    def info(self, text: str) -> None:
        """Show one line of text."""

    @contextmanager
    def progress(self, description: str, total: int | None = None, unit: str = "images") -> Iterator[Progress]:
        """Show a progress bar over `total` units (None: unknown) for the length of the `with` block."""
        yield Progress()
