"""Commands that torchrun started in several processes: those that cannot run so, and who reports an error."""

import functools
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from coarsecon.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])

FIRST_RANK_SECONDS = 10
"""Time in which the first rank of a machine reports an error that all ranks have, before the others do."""


def single_process(command: Command) -> Command:
    """Decorate a command that writes files and knows no ranks: several processes of it are refused.

    Raises:
        InputError: `WORLD_SIZE` is greater than one.
    """

    @functools.wraps(command)
    def checked(*args: Any, **kwargs: Any) -> Any:
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count > 1:
            raise InputError(
                "WORLD_SIZE", f"is {count}, but this command runs in one process", "start it without torchrun"
            )
        return command(*args, **kwargs)

    checked.single_process = True  # type: ignore[attr-defined]
    return checked  # type: ignore[return-value]


def wait_for_first_rank() -> None:
    """Wait before reporting an error that all ranks of a machine have: torchrun ends them when the first has."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        time.sleep(FIRST_RANK_SECONDS)
