"""The time left is forecast once, from the first steps, with a clock of the test."""

from datetime import datetime

import pytest
from tiny import tiny_settings

from coarsecon.run.folder import RunFolder
from coarsecon.runtime.progress import Reporter
from coarsecon.train.forecast import Forecast, time_left
from coarsecon.train.loop import Loop
from coarsecon.train.pretrain import Pretraining
from coarsecon.train.resolve import build_run_spec


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds

    def wait(self, seconds):
        self.seconds += seconds


def steps(forecast, clock, durations):
    """Return what the forecast says after each step."""
    found = []
    for seconds in durations:
        clock.wait(seconds)
        found.append(forecast.after_step(lambda: None))
    return found


def test_twenty_steps_after_the_first_two_are_measured_once():
    clock = Clock()
    found = steps(Forecast(clock), clock, [30, 5] + [0.2] * 30)
    assert found[:21] == [None] * 21
    assert found[21] == pytest.approx(0.2)
    assert found[22:] == [None] * 10


def test_ten_seconds_are_enough_for_slow_steps():
    clock = Clock()
    assert steps(Forecast(clock), clock, [9, 9, 4, 4, 4, 4]) == [None] * 4 + [4.0, None]
    assert steps(Forecast(clock), clock, [9, 9, 50]) == [None, None, 50.0]


def test_the_time_between_epochs_does_not_count():
    clock = Clock()
    forecast = Forecast(clock)
    for _ in range(11):
        clock.wait(100)
        forecast.start_epoch()
        found = steps(forecast, clock, [0.5, 0.5])
    assert found == [None, 0.5]


def test_the_last_step_includes_what_an_asynchronous_device_still_computes():
    clock = Clock()
    forecast = Forecast(clock)
    steps(forecast, clock, [0.01] * 21)
    clock.wait(0.01)
    assert forecast.after_step(lambda: clock.wait(4)) == pytest.approx(4.2 / 20)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (59, ""),
        (61, "about 1 minute left (until 13:56)"),
        (9 * 60 + 5, "about 9 minutes left (until 14:04)"),
        (3 * 3600, "about 3.0 hours left (until 16:55)"),
        (12 * 3600, "about 12.0 hours left (until 2026-03-02 01:55)"),
        (72 * 3600, "about 3.0 days left (until 2026-03-04 13:55)"),
    ],
)
def test_the_time_left_is_rounded_and_names_the_end(seconds, text):
    assert time_left(seconds, datetime(2026, 3, 1, 13, 55)) == text


class Lines(Reporter):
    """Keeps what is reported."""

    def __init__(self):
        self.lines = []

    def info(self, text):
        self.lines.append(text)


def test_a_training_reports_its_end_once_with_its_evaluations(tiny_data, tmp_path, monkeypatch):
    clock, lines = Clock(), Lines()
    spec = build_run_spec(tiny_settings(tiny_data, schedule={"epochs": 9}, run={"monitor_every": 2}))
    task = Pretraining(spec, RunFolder(tmp_path / "run"), lines)
    assert task.evaluations == 5
    real = task.losses

    def slow_losses(batch):
        clock.wait(60)
        return real(batch)

    task.losses = slow_losses
    task.initial_metrics = lambda: clock.wait(90) or {}
    loop = Loop(task, forecast=Forecast(clock))
    loop.run_to_end()
    seconds = 24 * 60 + 5 * 24 / 27 * 90  # 24 of 27 steps are left after the third
    found = [line for line in lines.lines if "left (until" in line]
    assert found == [f"about {round(seconds / 60)} minutes left (until {found[0][-6:-1]})"]
