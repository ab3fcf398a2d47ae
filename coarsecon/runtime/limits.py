"""System limits for worker processes: open files, semaphores and shared memory."""

import multiprocessing
import os
import sys
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
OPEN_FILES = Path("/proc/self/fd")

MAX_LOADERS = 3
"""Maximum number of loaders with workers at a time: training, and the two splits of monitoring."""


def workers_problem(workers: int) -> str:
    """Explain why this process cannot have worker processes, with the remedy; empty if it can.

    They would hang or die later. The limit of open files is raised as far as the system allows.
    """
    if not workers:
        return ""
    wanted = _open_files() + MAX_LOADERS * 4 * (workers + 1) + 8 * workers + 32
    limit = _raised_file_limit(wanted)
    if limit < wanted:
        return (
            f"the limit of {limit} open files is too low for {workers} worker processes; raise it with "
            f"`ulimit -n {max(1024, wanted)}`"
        )
    try:
        context = multiprocessing.get_context()
        locks = [context.Lock() for _ in range(MAX_LOADERS * (3 * workers + 8))]
    except (OSError, ImportError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        return (
            f"worker processes need semaphores in {SHARED_MEMORY}, which cannot be created ({why}); enlarge it, in a "
            "container with `--shm-size=1g`"
        )
    del locks
    return ""


def fits_shared_memory(size: int, workers: int, folder: Path = SHARED_MEMORY) -> bool:
    """Return True if all workers can pass batches of `size` bytes ahead through the shared memory in `folder`."""
    if sys.platform != "linux":
        return True
    try:
        state = os.statvfs(folder)
    except OSError:
        return False
    return state.f_bavail * state.f_frsize >= 2 * size * (2 * workers + 2)


def _raised_file_limit(wanted: int) -> int:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return sys.maxsize
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return sys.maxsize if soft == resource.RLIM_INFINITY else soft
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, possible), hard))
    except (OSError, ValueError):
        return soft
    return max(soft, possible)


def _open_files() -> int:
    try:
        return sum(1 for _ in OPEN_FILES.iterdir())
    except OSError:
        return 32
