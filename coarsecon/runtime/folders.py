"""Replace folders atomically: each is completed under a hidden name, then renamed.

A process may be killed between any two steps. The next writer or reader of the same path then finds the former state
or the new one: `recover_folder` completes or undoes an interrupted replacement.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from coarsecon.errors import InputError
from coarsecon.runtime.files import cannot_write
from coarsecon.runtime.locks import Lock

MARKER = ".coarsecon-temporary"
"""A file that marks a folder as temporary: only marked folders are ever removed."""


@contextmanager
def atomic_folder(path: Path | str, *, wait: bool = False) -> Iterator[Path]:
    """Make a temporary folder to fill in a `with` block; it replaces `path` when the block ends without an error.

    It is removed when the block fails. A symbolic link at `path` is followed, and kept.

    Args:
        path: The folder to replace.
        wait: Wait for another process that writes to `path`, instead of raising an error.

    Raises:
        InputError: Another process writes to `path`.
        CoarseconError: The folder cannot be written.
    """
    with _temporary_folder(Path(path), keep=lambda: False, resume=False, wait=wait) as folder:
        yield folder


@contextmanager
def resumable_folder(path: Path, *, keep: Callable[[], bool]) -> Iterator[Path]:
    """Make a folder that becomes `path` at the end of the `with` block, as with `atomic_folder`, and survives a kill.

    It is `.NAME.partial` next to `path`, with the files of an earlier attempt. After an error or Ctrl-C it is removed
    unless `keep()` returns True.

    Raises:
        InputError: Another process writes to it, or `.NAME.partial` is something else.
        CoarseconError: The folder cannot be written.
    """
    with _temporary_folder(path, keep=keep, resume=True, wait=False) as folder:
        yield folder


@contextmanager
def _temporary_folder(path: Path, *, keep: Callable[[], bool], resume: bool, wait: bool) -> Iterator[Path]:
    path = path.resolve()
    partial, lock = path.with_name(f".{path.name}.partial"), Lock(_lock_file(path))
    is_kept = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if wait:
            lock.wait()
        elif not lock.acquire():
            raise InputError(path, "another process writes there", "wait for it to end, or choose another folder")
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        try:
            _recover_locked(path)
            _begin(partial, resume=resume)
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            try:
                yield partial
            except BaseException:
                is_kept = keep()
                raise
            _replace_folder(partial, path)
        finally:
            if not is_kept:
                with suppress(OSError):
                    _remove_temporary(partial)
    finally:
        lock.release()


def recover_folder(path: Path) -> Path:
    """Return the path of the last complete state of the folder `path`.

    It is another one only if a process was killed while replacing the folder; then the former folder gets its name
    back, if this process may rename it.
    """
    resolved = path.resolve()
    aside = _aside(resolved)
    if resolved.exists() or not _is_temporary(aside):
        return path
    with suppress(OSError):
        lock = Lock(_lock_file(resolved))
        if lock.acquire():
            try:
                _recover_locked(resolved)
            finally:
                lock.release()
    return path if path.exists() else aside


def _begin(partial: Path, *, resume: bool) -> None:
    """Make the temporary folder, or reuse that of an earlier attempt.

    Raises:
        InputError: Something else has its name.
    """
    _check_temporary(partial)
    if not resume:
        _remove_temporary(partial)
    partial.mkdir(exist_ok=True)
    (partial / MARKER).touch()


def _replace_folder(new: Path, path: Path) -> None:
    """Rename `new` to `path`; a former folder is renamed first and removed last."""
    if path.exists() and not path.is_dir():
        raise InputError(path, "is a file", "choose another folder")
    try:
        if path.exists():
            (path / MARKER).touch()
            path.rename(_aside(path))
        try:
            new.rename(path)
        finally:
            _recover_locked(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def _recover_locked(path: Path) -> None:
    """Complete or undo an interrupted replacement of `path`. Needs the lock."""
    aside = _aside(path)
    _check_temporary(aside)
    if path.exists():
        _remove_temporary(aside)
    elif aside.exists():
        aside.rename(path)
    if _is_temporary(path):
        (path / MARKER).unlink()


def _check_temporary(folder: Path) -> None:
    """Raise InputError if something else has the name of a temporary folder."""
    is_empty = not folder.is_symlink() and folder.is_dir() and not any(folder.iterdir())
    if os.path.lexists(folder) and not is_empty and not _is_temporary(folder):
        raise InputError(folder, "not a temporary folder of coarsecon", "move it away and run the command again")


def _remove_temporary(folder: Path) -> None:
    """Remove a temporary folder if there is one; its marker last, so that an interrupted removal can continue."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARKER:
            path.unlink()
    (folder / MARKER).unlink(missing_ok=True)
    folder.rmdir()


def _is_temporary(folder: Path) -> bool:
    """Return True if the folder is no link and has the marker of a temporary one."""
    return not folder.is_symlink() and (folder / MARKER).is_file()


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.replaced")


def _lock_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")
