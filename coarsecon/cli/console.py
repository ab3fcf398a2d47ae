"""Output of commands: progress bars on a terminal, plain lines elsewhere, tables, JSON, and the next command."""

import json
import os
import re
import shlex
import sys
import textwrap
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from coarsecon.runtime.progress import Progress, Reporter

JsonFile = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write JSON to a file; - is stdout.", show_default=False)
]

PLAIN_INTERVAL = 10.0
"""Seconds between two plain lines of progress."""

RATE_LINES = 4
"""Number of printed lines that a rate is averaged over, so that a faster start has no lasting effect."""

MAX_WORD_LENGTH = 400
"""Maximum characters of a word, such as a path; the middle of longer ones is left out."""

MAX_MESSAGE_LENGTH = 800
"""Maximum characters of an error message; the middle of longer ones is left out."""


def printable(text: str) -> str:
    """Make text from files safe to print: replace control characters, and shorten very long words in the middle.

    Names and values in untrusted files may hold escape sequences that change a terminal, or megabytes.
    """
    shown = "".join(c if c.isprintable() or c == "\n" else " " if c.isspace() else "\ufffd" for c in text)
    half = MAX_WORD_LENGTH // 2
    return re.sub(rf"\S{{{MAX_WORD_LENGTH + 1},}}", lambda word: f"{word[0][:half]}...{word[0][-half:]}", shown)


def shortened(message: str) -> str:
    """Make an error message printable, and leave out its middle where it quotes more than it explains."""
    shown = printable(message)
    half = MAX_MESSAGE_LENGTH // 2
    return shown if len(shown) <= MAX_MESSAGE_LENGTH else f"{shown[:half]}...{shown[-half:]}"


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


MIN_RATE_SECONDS = 0.5
"""Minimum duration in seconds over which a rate is computed."""


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


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, numbers: bool = True) -> None:
    """Print a table on stdout; columns after the first are aligned as numbers, or as text.

    Where it is too wide, headings over numbers break at blanks, long texts are wrapped, and further columns follow in
    another table under the same first column. Numbers are never cut.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from coarsecon.cli.layout import fit

    console = Console()
    for part in fit(columns, [[printable(str(cell)) for cell in row] for row in rows], console.width):
        drawn = Table(title=Text(printable(title)), title_justify="left", title_style="bold")
        for place, column in enumerate(part):
            justify: Literal["left", "right"] = "right" if place and numbers else "left"
            drawn.add_column(Text(column.heading), justify=justify, overflow="fold", width=column.width)
        for cells in zip(*(column.cells for column in part), strict=True):
            drawn.add_row(*map(Text, cells))
        console.print(drawn)


def facts(rows: Mapping[str, str]) -> None:
    """Print texts next to their titles; empty ones are left out."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table.grid(padding=(0, 2))
    for word, text in rows.items():
        if text:
            drawn.add_row(Text(word, style="bold"), Text(text, overflow="fold"))
    Console().print(drawn)


def wrapped(text: str, mark: str = "") -> str:
    """Wrap text to the width of the terminal, with `mark` before each line.

    Blank lines, items of lists, and ends of lines that end a sentence stay.
    """
    from rich.console import Console

    width = Console().width
    pieces: list[str] = []
    for line in text.splitlines():
        before = pieces[-1] if pieces else ""
        if not before or not line or before.endswith((".", ":")) or line.lstrip().startswith("- "):
            pieces.append(line)
        else:
            pieces[-1] += f" {line.strip()}"
    filled = []
    for piece in pieces:
        plain = piece.lstrip()
        start = mark + " " * (len(piece) - len(plain))
        hanging = start + "  " * plain.startswith("- ")
        filled.append(
            textwrap.fill(
                plain, width, initial_indent=start, subsequent_indent=hanging,
                break_long_words=False, break_on_hyphens=False,
            )
            or mark.rstrip()
        )  # fmt: skip
    return "\n".join(filled)


def percent(value: float) -> str:
    """Format a fraction as a percentage."""
    return f"{100 * value:.2f}"


def emit_json(value: Any, target: str) -> None:
    """Write `value` as JSON to a file, or to stdout for `-`."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8") if target == "-" else "utf-8"
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # an old encoding, or a file name that is not valid text
        text = json.dumps(value, indent=2)
    if target == "-":
        print(text)
    else:
        from coarsecon.runtime.files import atomic_write

        atomic_write(Path(target), text + "\n")


def closing(written: Sequence[Path], next_command: Sequence[str | Path]) -> None:
    """Print the last lines of a command: the files it wrote and the next command."""
    reporter = ConsoleReporter()
    for path in written:
        reporter.info(f"wrote {path}")
    if next_command:
        reporter.info(f"next: {shlex.join(map(str, next_command))}")


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
