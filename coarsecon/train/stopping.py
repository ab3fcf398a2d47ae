"""Ctrl-C, SIGTERM, SIGHUP and SIGQUIT end a run between two steps, where its state can be saved completely."""

import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

from coarsecon.errors import CoarseconError
from coarsecon.runtime.pool import ENDING_SIGNALS
from coarsecon.runtime.progress import Reporter


class InterruptedRunError(CoarseconError):
    """The run was asked to stop; the message says whether its state is saved."""

    exit_code = 130


class StopRequest:
    """Within the `with` block the first signal sets `requested` and is reported; a second Ctrl-C interrupts at once.

    SIGHUP stays ignored where it was, as `nohup` arranges it.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.requested = False
        self._reporter = reporter
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in ENDING_SIGNALS:
                if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN:
                    self._former[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        is_first, self.requested = not self.requested, True
        if is_first:
            with suppress(RuntimeError):  # the signal came while the same stream was written to
                self._reporter.info("stopping after this step, then saving; Ctrl-C again stops at once, without saving")
