"""Locks: one holder at a time, released when it ends in whatever way."""

import os
import signal
import threading
from pathlib import Path

import pytest

from coarsecon.errors import InputError
from coarsecon.runtime.locks import Lock, acquire_or_raise, waiting_lock


def test_a_lock_has_one_holder_and_leaves_no_file(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert not list(tmp_path.iterdir())
    assert second.acquire()
    second.release()


def test_a_lock_that_is_held_is_refused_in_the_callers_words(tmp_path: Path) -> None:
    with waiting_lock(tmp_path / "lock"), pytest.raises(InputError, match="the run is being trained"):
        acquire_or_raise(tmp_path / "lock", InputError("the run is being trained"))


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    process = os.fork()
    if process == 0:
        Lock(tmp_path / "lock").acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(process, 0)
    assert (tmp_path / "lock").exists()
    assert Lock(tmp_path / "lock").acquire()


def test_waiting_ends_when_the_holder_releases(tmp_path: Path) -> None:
    order = []
    holder = Lock(tmp_path / "lock")
    holder.acquire()

    def wait() -> None:
        with waiting_lock(tmp_path / "lock"):
            order.append("waited")

    thread = threading.Thread(target=wait)
    thread.start()
    order.append("held")
    holder.release()
    thread.join(10)
    assert order == ["held", "waited"]


def test_two_holders_at_a_time_never_happen(tmp_path: Path) -> None:
    """Also though the file is removed on each release, between another's opening and locking of it."""
    inside, most = [], []

    def work() -> None:
        for _ in range(40):
            lock = Lock(tmp_path / "lock")
            while not lock.acquire():
                pass
            inside.append(1)
            most.append(len(inside))
            inside.pop()
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 160
    assert max(most) == 1


def test_a_lock_is_not_taken_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        Lock(tmp_path / "lock").acquire()
    assert not (tmp_path / "elsewhere").exists()
