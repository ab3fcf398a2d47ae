"""Work done ahead of its use, by a few threads or by processes of their own."""

import atexit
import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import connection
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]
"""Signals that ask a process to end. Workers leave them to their parent."""


def map_ahead(function: Callable[[T], R], items: Iterable[T], *, pool: Executor, ahead: int) -> Iterator[R]:
    """`function` of each item, in order, begun up to `ahead` items early; `items` may be endless.

    The pool is shut down in the end.
    """
    pending: deque[Future[R]] = deque()
    with pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def processes(count: int) -> ProcessPoolExecutor:
    """Worker processes that leave Ctrl-C to their parent and end with it, however it ends."""
    return ProcessPoolExecutor(count, initializer=_start_worker)


def loader_workers() -> Callable[[int], None]:
    """The `worker_init_fn` of a DataLoader whose workers leave Ctrl-C to this process, and end with it."""
    _kill_workers_at_exit()
    return _start_loader_worker


def _start_loader_worker(_: int) -> None:
    leave_signals_to_the_parent()


@cache
def _kill_workers_at_exit() -> None:
    """multiprocessing would send workers that are left SIGTERM, which they ignore, and wait for them for ever."""
    atexit.register(_kill_workers)


def _kill_workers() -> None:
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler takes the end of a worker for an accident
    for worker in multiprocessing.active_children():
        if worker.daemon:
            worker.kill()


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold back signals from this thread, and from workers it starts until they leave signals to their parent."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_the_parent() -> None:
    """Ctrl-C and the end of a terminal reach all its processes; the parent ends the work and then its workers."""
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)


def _start_worker() -> None:
    leave_signals_to_the_parent()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """A pool's worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    signal.raise_signal(signal.SIGKILL)
