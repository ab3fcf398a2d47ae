"""Output of commands: tables, JSON, and the next command."""

import json
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

JsonFile = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write JSON to a file; - is stdout.", show_default=False)
]


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
    lines = [f"wrote {path}" for path in written]
    if next_command:
        lines.append(f"next: {shlex.join(map(str, next_command))}")
    for line in lines:
        print(printable(line), file=sys.stderr, flush=True)


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
