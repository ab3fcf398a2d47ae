"""Training that is told to stop, or whose output has nowhere to go: the state is saved, and nothing else ends it."""

import shutil
import signal

import pytest
import yaml
from launch import python
from tiny import tiny_settings

from coarsecon.run.folder import RunFolder
from coarsecon.train.checkpoint import load_checkpoint

STEPS = 6

BEGIN = """
import os, pty, signal, sys, time
from pathlib import Path
from coarsecon.train import loop
step = loop.Loop.train_step
def at(number, act):
    def acts(self, *values):
        if self.progress.step == number: act()
        return step(self, *values)
    loop.Loop.train_step = acts
def train():
    from coarsecon.cli.main import run
    run(["pretrain", "--config", CONFIG, "--out", OUT])
"""


@pytest.fixture
def train(tiny_data, tmp_path):
    """`train(code)` runs code that calls `train()` in a process of its own; returns how it ended, and the run."""
    config, out = tmp_path / "tiny.yaml", tmp_path / "run"

    def call(code, data=tiny_data):
        config.write_text(yaml.safe_dump(tiny_settings(data, run={"monitor_every": 0, "log_every": 1})))
        done = python("-c", f"CONFIG, OUT = {str(config)!r}, {str(out)!r}\n{BEGIN}{code}")
        return done, RunFolder(out)

    return call


def saved_step(run):
    return load_checkpoint(run.checkpoint("last"))["progress"]["step"]


def logged_steps(run):
    return [row["step"] for row in run.metrics() if "loss" in row]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_saves_the_state_and_ends_the_run(train, name):
    done, run = train(f"at(3, lambda: os.kill(os.getpid(), signal.{name}))\ntrain()")
    assert done.code == 130, done.err
    assert f"stopped at step 4; continue with: coarsecon pretrain --out {run.root} --resume" in done.err
    assert saved_step(run) == 4


def test_a_hangup_that_nohup_ignores_stays_ignored(train):
    done, run = train(
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nat(3, lambda: os.kill(os.getpid(), signal.SIGHUP))\ntrain()"
    )
    assert done.code == 0, done.err
    assert saved_step(run) == STEPS


def test_the_handlers_from_before_come_back():
    from coarsecon.runtime.pool import ENDING_SIGNALS
    from coarsecon.runtime.progress import Reporter
    from coarsecon.train.stopping import StopRequest

    before = [signal.getsignal(number) for number in ENDING_SIGNALS]
    with StopRequest(Reporter()):
        assert [signal.getsignal(number) for number in ENDING_SIGNALS] != before
    assert [signal.getsignal(number) for number in ENDING_SIGNALS] == before


@pytest.mark.parametrize("streams", [(1,), (2,), (1, 2)], ids=["stdout", "stderr", "both"])
def test_training_goes_on_when_the_reader_of_its_output_dies(train, streams):
    done, run = train(
        "reader, writer = os.pipe()\n"
        f"for number in {streams}: os.dup2(writer, number)\n"
        "at(2, lambda: os.close(reader))\n"
        "train()"
    )
    assert done.code == 0
    assert logged_steps(run) == list(range(1, STEPS + 1))
    assert saved_step(run) == STEPS


def test_training_goes_on_with_closed_streams(train):
    done, run = train("os.close(1); os.close(2); sys.stdout = sys.stderr = None\ntrain()")
    assert done.code == 0
    assert saved_step(run) == STEPS


def test_training_goes_on_when_its_log_is_on_a_full_disk(train):
    done, run = train("os.dup2(os.open('/dev/full', os.O_WRONLY), 2)\ntrain()")
    assert done.code == 0
    assert saved_step(run) == STEPS


def test_a_terminal_that_closes_saves_the_state(train, tmp_path):
    """The kernel sends SIGHUP, and every further write to the terminal fails."""
    done, run = train(
        f"reached = Path({str(tmp_path / 'reached')!r})\n"
        "pid, master = pty.fork()\n"
        "if not pid:\n"
        "    at(3, lambda: (reached.touch(), time.sleep(1)))\n"
        "    train()\n"
        "while not reached.exists(): os.read(master, 1024)\n"
        "os.close(master)\n"
        "_, status = os.waitpid(pid, 0)\n"
        "sys.exit(os.waitstatus_to_exitcode(status))"
    )
    assert done.code == 130, done.err
    assert saved_step(run) == 4


def test_a_dataset_that_is_truncated_during_training_ends_it_in_one_sentence(train, tiny_data, tmp_path):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    done, _ = train(f"at(2, lambda: os.truncate({str(data / 'train.safetensors')!r}, 5000))\ntrain()", data=data)
    assert done.code == 2, done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("error")]
    assert f"{data / 'train.safetensors'}: truncated while it was in use (5,000 of " in line
