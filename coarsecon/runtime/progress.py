"""How long work tells of its progress: the library reports to a `Reporter` it is handed and prints nothing itself."""

from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """The handle a piece of long work advances. This base class is silent."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Count `amount` more units as done; `note` is a short text shown beside the bar."""


class Reporter:
    """A silent reporter, for notebooks and tests; the command line hands down one that draws bars."""

    def info(self, text: str) -> None:
        """Say one line."""

    @contextmanager
    def progress(self, description: str, total: int | None = None, unit: str = "images") -> Iterator[Progress]:
        """A progress bar over `total` units (None: unknown) for the length of the `with` block."""
        yield Progress()
