"""Forecast of the end of a training from its first steps."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

T = TypeVar("T")

WARMUP_STEPS = 2
"""First steps that are not measured: they compile, allocate, and start the processes that load data."""

MEASURED_STEPS = 20
MEASURED_SECONDS = 10.0
"""Measured steps or seconds, whichever come first, after which the end is forecast."""

MIN_SECONDS_LEFT = 60.0
"""Shortest time left that is worth a line; the progress bar shows it, too."""


class Forecast:
    """Measures steps until there are enough of them, without what happens between epochs.

    Args:
        clock: Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._mark, self._seconds, self._steps = clock(), 0.0, -WARMUP_STEPS
        self._is_done = False
        self.evaluation_seconds = 0.0

    def timed_evaluation(self, evaluate: Callable[[], T]) -> T:
        """Return the result of an evaluation, and record its time in `evaluation_seconds`."""
        start = self._clock()
        result = evaluate()
        self.evaluation_seconds = self._clock() - start
        return result

    def start_epoch(self) -> None:
        """Leave out the time since the last step."""
        self._mark = self._clock()

    def after_step(self, wait: Callable[[], object]) -> float | None:
        """Count a step; once enough are measured, return the seconds of one, and None at any other time.

        `wait` is called before the last measurement, for a device that computes steps asynchronously.
        """
        if self._is_done:
            return None
        self._count()
        if self._steps < 1 or (self._steps < MEASURED_STEPS and self._seconds < MEASURED_SECONDS):
            return None
        wait()
        self._count(steps=0)
        self._is_done = True
        return self._seconds / self._steps

    def _count(self, steps: int = 1) -> None:
        now = self._clock()
        self._steps += steps
        self._seconds = self._seconds + now - self._mark if self._steps > 0 else 0.0
        self._mark = now


def time_left(seconds: float, now: datetime | None = None) -> str:
    """Describe the time left and the end, such as "about 9 minutes left (until 14:05)"; empty if it is short."""
    if seconds < MIN_SECONDS_LEFT:
        return ""
    now = now or datetime.now()
    end = now + timedelta(seconds=seconds)
    minutes = round(seconds / 60)
    length = f"{minutes} minute{'s' * (minutes != 1)}"
    if minutes > 90:
        length = f"{minutes / 60:.1f} hours" if minutes <= 48 * 60 else f"{minutes / 60 / 24:.1f} days"
    clock = f"{end:%H:%M}" if end.date() == now.date() else f"{end:%Y-%m-%d %H:%M}"
    return f"about {length} left (until {clock})"
