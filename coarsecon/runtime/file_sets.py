"""Sets of files that are replaced together: a reader finds all of the old set or all of the new one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from coarsecon.runtime.files import cannot_write
from coarsecon.runtime.locks import Lock, waiting_lock

STAGED, COMMITTED = ".files.partial", ".files"
"""Folders in which `files_together` completes a set of files, and keeps it until each file is in its place."""


@contextmanager
def files_together(root: Path) -> Iterator[Path]:
    """Collect files in a temporary folder; at the end of the `with` block all of them move to the folder `root`.

    The complete set is first renamed to `root/.files`, where `current_file` finds it; then each file replaces the one
    of the same relative name in `root`, and `.files` is removed. `recover_files` completes the work of a process that
    was killed in between. Other processes that write to `root` in this way wait.

    Raises:
        CoarseconError: The files cannot be written.
    """
    staged, committed = root / STAGED, root / COMMITTED
    try:
        root.mkdir(parents=True, exist_ok=True)
        with waiting_lock(root / f"{COMMITTED}.lock"):
            _finish(root)
            staged.mkdir()
            try:
                yield staged
                for file in _files(staged):
                    _flush(file)
                staged.rename(committed)
                _finish(root)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
    except OSError as error:
        raise cannot_write(Path(error.filename or root), error) from error


def recover_files(root: Path) -> None:
    """Complete a `files_together` that was killed, unless another process writes or this one may not."""
    if (root / COMMITTED).is_dir():
        with suppress(OSError):
            lock = Lock(root / f"{COMMITTED}.lock")
            if lock.acquire():
                try:
                    _finish(root)
                finally:
                    lock.release()


def current_file(root: Path, name: str) -> Path:
    """Return the path to read the file `name` of `root` from: in a complete set that is not yet in place, or `root`."""
    committed = root / COMMITTED / name
    return committed if committed.is_file() else root / name


def settled_file(file: Path) -> Path:
    """Return the final path of a file that `current_file` found in a complete set."""
    return file.parent.parent / file.name if file.parent.name == COMMITTED else file


def current_files(root: Path, pattern: str) -> list[Path]:
    """List the files of `root` that match a pattern such as `results/*.json`, by name, each as `current_file`."""
    found = {path.relative_to(root) for path in root.glob(pattern)}
    found |= {path.relative_to(root / COMMITTED) for path in (root / COMMITTED).glob(pattern)}
    return [current_file(root, str(name)) for name in sorted(found)]


def _finish(root: Path) -> None:
    """Move the files of a committed set to their places, and remove an uncommitted one. Needs the lock."""
    staged, committed = root / STAGED, root / COMMITTED
    if staged.is_dir():
        shutil.rmtree(staged)
    if not committed.is_dir():
        return
    for file in _files(committed):
        target = root / file.relative_to(committed)
        sibling = target.with_name(f".{target.name}.partial")
        target.parent.mkdir(parents=True, exist_ok=True)
        sibling.unlink(missing_ok=True)
        _link(file, sibling)
        sibling.replace(target)
        sibling.unlink(missing_ok=True)  # replacing a file by another link to it does nothing
    committed.rename(staged)  # at once, so that no reader finds a part of the set
    shutil.rmtree(staged)


def _link(file: Path, place: Path) -> None:
    """Make a hard link to a file, or a copy on file systems without links."""
    try:
        place.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, place)
        _flush(place)


def _flush(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
