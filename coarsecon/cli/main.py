"""The `coarsecon` command: runs the commands, and prints every error in one or two lines."""

import errno
import os
import platform
import sys
from importlib import metadata
from typing import Annotated, Any

import typer

from coarsecon import __version__
from coarsecon.cli.console import shortened
from coarsecon.cli.flags import message_of
from coarsecon.cli.lazy import LazyGroup
from coarsecon.cli.processes import wait_for_first_rank
from coarsecon.cli.streams import plain_warnings, standard_streams
from coarsecon.errors import CoarseconError

INTERRUPTED = 130
STOPPED = "Interrupted. Finished work is kept, and no file is incomplete; rerun the command to continue."

app = typer.Typer(
    name="coarsecon",
    cls=LazyGroup,
    help="Learn fine-grained image embeddings from coarse labels, and search with them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version, with Python's and torch's, and exit.", is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks. Works at any position.")] = False,
) -> None:
    """Learn fine-grained image embeddings from coarse labels, and search with them."""
    if version:
        print(f"coarsecon {__version__} ({environment()})")
        raise typer.Exit


def environment() -> str:
    """Return the versions of Python, torch and the system, without importing torch."""
    try:
        torch = f"torch {metadata.version('torch')}"
    except metadata.PackageNotFoundError:
        torch = "no torch"
    return f"Python {platform.python_version()}, {torch}, {platform.system()} {platform.machine()}"


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 success, 1 failure while running, 2 wrong usage or input, 130 interrupted."""
    with standard_streams(), plain_warnings():
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
    sys.exit(code)


def _run(words: list[str]) -> int:
    """Run the command line; return its exit code."""
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        code = app(words, prog_name="coarsecon", standalone_mode=False)
        if code == INTERRUPTED:  # Typer makes this of Ctrl-C
            print(STOPPED, file=sys.stderr)
    except Exception as error:
        if debug:
            raise
        message, code = explain(error, words)
        if message:
            if getattr(error, "reported_elsewhere", None) is None:
                wait_for_first_rank()
            print(f"error: {shortened(message)}", file=sys.stderr)
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        code = INTERRUPTED
    return code if isinstance(code, int) else 0


def explain(error: Exception, words: list[str]) -> tuple[str, int]:
    """Return the message of an error of a command line, empty if another rank prints it, and the exit code."""
    if isinstance(error, CoarseconError):
        return "" if error.reported_elsewhere else message_of(error, words), error.exit_code
    usage: Any = getattr(error, "format_message", None)
    if usage is not None:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else " ".join(["coarsecon", *_command(words)])
        hint = f" (see `{command} --help`)"
        message = usage().replace("Value error, ", "")  # added by pydantic
        return (f"{message.rstrip('.')}{hint}" if message else ""), 2
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory; try a smaller batch size or backbone", 1
    if _is_full_disk(error):
        return f"{os.strerror(errno.ENOSPC)}: free space where this command writes, and rerun it", 1
    if isinstance(error, OSError) and error.filename and error.strerror:
        code = 2 if error.errno == errno.ENAMETOOLONG else 1
        return f"{os.fsdecode(error.filename)}: {error.strerror}; check the path and its permissions", code
    notes = "".join(f"{note}; " for note in getattr(error, "__notes__", ()))
    return f"{type(error).__name__}: {error} ({notes}rerun with --debug for the traceback)", 1


def _command(words: list[str]) -> list[str]:
    """Return the name of the command if the command line starts with one."""
    return [word for word in words[:1] if not word.startswith("-")]


def _is_full_disk(error: BaseException | None) -> bool:
    """Return True if a full disk caused an error, which libraries may report in other words or as another exception."""
    while error is not None:
        if getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
