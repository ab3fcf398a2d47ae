"""Commands in forks of this process, which has imported everything: they start in milliseconds and can be killed."""

import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import launch

HUNG = -9


class Ended(NamedTuple):
    """How a fork ended: its exit code (the negative number of a signal that ended it), and after how many seconds."""

    code: int
    seconds: float


def in_fork(action: Callable[[], None], here: Path, *, seconds: float) -> Ended:
    """Run `action` in a fork with the current folder `here`, for at most `seconds`.

    Its streams are the files `stdout` and `stderr` there.
    """
    _import_all()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _be(action, here)
    while time.monotonic() - start < seconds:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return Ended(os.waitstatus_to_exitcode(status), time.monotonic() - start)
        time.sleep(0.005)
    os.killpg(child, 9)
    os.waitpid(child, 0)
    return Ended(HUNG, seconds)


@cache
def _import_all() -> None:
    """Import what commands import late, once for all forks."""
    for name in [*launch.IMPORTED, "sklearn.metrics", "torch._dynamo", "coarsecon.detection.train"]:
        import_module(name)


def command(*words: str) -> Callable[[], None]:
    """The command line `coarsecon WORDS` as an action."""

    def run_words() -> None:
        from coarsecon.cli.main import run

        run(list(words))

    return run_words


def _be(action: Callable[[], None], here: Path) -> None:
    code = 0
    try:
        os.setsid()
        os.chdir(here)
        os.environ["COLUMNS"] = "250"
        for name, number in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(here / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdin, sys.stdout, sys.stderr = open(os.devnull), open(1, "w"), open(2, "w")  # noqa: SIM115, PTH123
        action()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 99
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)
