"""Work that threads or processes do ahead of its use."""

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
"""Signals that ask a process to end; workers ignore them, and the parent ends its workers."""


def map_ahead(function: Callable[[T], R], items: Iterable[T], *, pool: Executor, ahead: int) -> Iterator[R]:
    """Yield `function(item)` for each item, in order, started up to `ahead` items early; `items` may be endless.

    The pool is shut down at the end.
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
    """Start worker processes that ignore Ctrl-C, and end with their parent even if it is killed."""
    return ProcessPoolExecutor(count, initializer=_start_worker)


def loader_workers() -> Callable[[int], None]:
    """Return the `worker_init_fn` of a DataLoader whose workers ignore Ctrl-C, and end with this process."""
    _kill_workers_at_exit()
    return _start_loader_worker


def _start_loader_worker(_: int) -> None:
    leave_signals_to_the_parent()


@cache
def _kill_workers_at_exit() -> None:
    """Kill remaining workers at exit: multiprocessing sends SIGTERM, which they ignore, and waits forever."""
    atexit.register(_kill_workers)


def _kill_workers() -> None:
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises at the end of a worker
    for worker in multiprocessing.active_children():
        if worker.daemon:
            worker.kill()


@contextmanager
def signals_held() -> Iterator[None]:
    """Block signals in this thread, and in workers that it starts until they ignore them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_the_parent() -> None:
    """Ignore Ctrl-C and the end of the terminal, which reach all processes; the parent ends its workers."""
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)


def _start_worker() -> None:
    leave_signals_to_the_parent()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """End this worker when its parent is killed; it would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    signal.raise_signal(signal.SIGKILL)
