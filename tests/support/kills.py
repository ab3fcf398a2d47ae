"""Kill a process before each change that it makes to the file system, one change after the other."""

import os
import signal
import sys
from collections.abc import Callable, Iterator

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree"}
"""Audit events of changes; opening a file to write is one more."""


def killed_at_every_change(prepare: Callable[[], None], action: Callable[[], None], *, step: int = 1) -> Iterator[int]:
    """Run `prepare` here and `action` in a process killed before its n-th change, for n = 1, 1 + step, ...

    Yields n after each kill, for the caller to check what is left; ends when `action` finishes without being killed.
    """
    for change in range(1, 10_000, step):
        prepare()
        if _exit_code(action, change) == 0:
            return
        yield change
    raise AssertionError("the action never ends")


def _exit_code(action: Callable[[], None], change: int) -> int:
    process = os.fork()
    if process == 0:
        left = change

        def count(event: str, arguments: tuple) -> None:
            nonlocal left
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if event in CHANGES or writes:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            action()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), f"the action failed at change {change}"
    return code
