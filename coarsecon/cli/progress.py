"""Progress of commands on stderr: live bars on a terminal, plain lines elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from coarsecon.cli.console import printable
from coarsecon.runtime.progress import Progress, Reporter

PLAIN_INTERVAL = 10.0
"""Seconds between two plain lines of progress."""

RATE_LINES = 4
"""Number of printed lines that a rate is averaged over, so that a faster start has no lasting effect."""

MIN_RATE_SECONDS = 0.5
"""Minimum duration in seconds over which a rate is computed."""


class ConsoleReporter(Reporter):
    """Reports on stderr, so that stdout holds only results."""

    def info(self, text: str) -> None:
        """Print one line."""
        print(printable(text), file=sys.stderr, flush=True)

    @contextmanager
    def progress(self, description: str, total: int | None = None, unit: str = "images") -> Iterator[Progress]:
        """Show a live bar on a terminal, elsewhere a plain line every few seconds."""
        if sys.stderr.isatty():
            with _bars(unit) as bars:
                yield BarProgress(bars, bars.add_task(printable(description), total=total, note="", rate=""), unit)
        else:
            progress = PlainProgress(description, total, unit)
            yield progress
            progress.report()


def _bars(unit: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = [
        TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("[dim]{task.fields[note]}"),
    ]  # fmt: skip
    return Bars(*columns, console=Console(stderr=True))


class BarProgress(Progress):
    """One task of a rich progress display."""

    def __init__(self, bars: Any, task: Any, unit: str) -> None:
        self._bars, self._task, self._unit = bars, task, unit

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Move the bar; a new note replaces the old."""
        self._bars.advance(self._task, amount)
        speed = self._bars.tasks[0].speed
        fields = {"rate": _rate(speed, self._unit)} if speed else {}
        self._bars.update(self._task, **fields, **({"note": note} if note else {}))


class PlainProgress(Progress):
    """Lines with the count, the rate and the time left, for logs and pipes."""

    def __init__(self, description: str, total: int | None, unit: str) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._done, self._note = 0, ""
        self._printed: tuple[int, str] | None = None
        self._reported = time.monotonic()
        self._marks: deque[tuple[float, int]] = deque(maxlen=RATE_LINES)

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Count, and report when the last line is old enough."""
        self._done += amount
        if not self._marks:  # the first advance may count work of an earlier run
            self._marks.append((time.monotonic(), self._done))
        self._note = note or self._note
        if time.monotonic() - self._reported >= PLAIN_INTERVAL:
            self.report()

    def report(self) -> None:
        """Print a line, unless it is the same as the last one."""
        if self._printed == (self._done, self._note):
            return
        self._printed = self._done, self._note
        now = time.monotonic()
        self._reported = now
        start, first = self._marks[0] if self._marks else (now, self._done)
        self._marks.append((now, self._done))
        rate = (self._done - first) / (now - start) if now - start >= MIN_RATE_SECONDS else 0
        parts = [f"{self._done:,}" + (f"/{self._total:,}" if self._total else "") + f" {self._unit}"]
        if rate:
            parts.append(_rate(rate, self._unit))
        if self._total and rate and self._done < self._total:
            parts.append(f"{_clock((self._total - self._done) / rate)} left")
        parts += [self._note] * bool(self._note)
        print(printable(f"{self._description}: {', '.join(parts)}"), file=sys.stderr, flush=True)


def _rate(speed: float, unit: str) -> str:
    """Format a rate with at least two digits, so that slow rates are not shown as 0."""
    return f"{speed:,.0f} {unit}/s" if speed >= 10 else f"{speed:.2g} {unit}/s"


def _clock(seconds: float) -> str:
    """Format a duration as M:SS, or H:MM:SS from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
