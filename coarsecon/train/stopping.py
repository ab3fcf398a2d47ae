"""Ctrl-C and SIGTERM end a run between two steps, where its state can be saved whole."""

import signal
import threading
from types import FrameType
from typing import Any

from coarsecon.errors import CoarseconError
from coarsecon.reporting import Reporter


class InterruptedRunError(CoarseconError):
    """The run was asked to stop; the message says whether its state is saved."""

    exit_code = 130


class StopRequest:
    """Within the `with` block the first signal sets `requested` and is told; a second Ctrl-C interrupts at once."""

    def __init__(self, reporter: Reporter) -> None:
        self.requested = False
        self._reporter = reporter
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.requested:
            self._reporter.info("stopping after this step, then saving; Ctrl-C again stops at once, without saving")
        self.requested = True
