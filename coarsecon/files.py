"""Writing without ever leaving something half-written: a temporary sibling first, then a rename."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from coarsecon.errors import CoarseconError, InputError, NotWritableError


def atomic_write(path: Path | str, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path`, whole or not at all; missing parent folders are made.

    Raises CoarseconError when the disk refuses, NotWritableError when this user cannot write there.
    """
    path = Path(path)
    sibling = _sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            sibling.write_bytes(content.encode() if isinstance(content, str) else content)
            sibling.replace(path)
        finally:
            sibling.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> CoarseconError:
    """The error to raise where the system refused to write `path`."""
    is_forbidden = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    kind = NotWritableError if is_forbidden else CoarseconError
    return kind(f"cannot write {path}: {error.strerror}")


def is_inside(path: Path, root: Path) -> bool:
    """Whether `path`, its symbolic links followed, is in the folder `root`; it need not exist."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return False


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """A temporary folder beside `path` to fill in a `with` block.

    It takes the place of `path` when the block ends well (an older folder there is replaced as a whole)
    and is removed when the block fails. Raises CoarseconError when the disk refuses.
    """
    path = Path(path)
    sibling = _sibling(path)
    try:
        sibling.mkdir(parents=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield sibling
        _replace_folder(sibling, path)
    finally:
        shutil.rmtree(sibling, ignore_errors=True)


@contextmanager
def resumable_folder(path: Path, *, keep: Callable[[], bool]) -> Iterator[Path]:
    """A folder that becomes `path` at the end of the `with` block, as with `atomic_folder`, and outlives a kill.

    It is `.NAME.partial` beside `path`, and holds what an earlier attempt left. After an error or Ctrl-C it is
    removed, unless `keep()` says that it is worth going on with.

    Raises:
        InputError: another process writes to it.
        CoarseconError: the disk refuses.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock = _lock(partial)
    except OSError as error:
        raise cannot_write(path, error) from error
    is_kept = False
    try:
        try:
            yield partial
        except BaseException:
            is_kept = keep()
            raise
        _replace_folder(partial, path)
    finally:
        if not is_kept:
            shutil.rmtree(partial, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder against other processes until the handle returned is closed, or its process ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InputError(f"{folder}: another process writes there; let it end, or choose another place") from None
    return handle


def _replace_folder(new: Path, path: Path) -> None:
    """Rename `new` to `path`; what was there is set aside until that is done, and then removed."""
    aside = _sibling(path)
    try:
        if path.exists():
            path.rename(aside)
        try:
            new.rename(path)
        except OSError:
            if aside.exists():
                aside.rename(path)
            raise
    except OSError as error:
        raise cannot_write(path, error) from error
    if aside.is_dir():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink(missing_ok=True)


def _sibling(path: Path) -> Path:
    """A hidden name beside `path`, on the same file system, that nothing else uses."""
    return path.with_name(f".{path.name}.{uuid4().hex}")
