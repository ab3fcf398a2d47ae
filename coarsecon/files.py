"""Writing without ever leaving something half-written: a temporary sibling first, then a rename."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from coarsecon.errors import CoarseconError


def atomic_write(path: Path | str, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path`, whole or not at all; missing parent folders are made.

    Raises CoarseconError when the disk refuses.
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
        raise CoarseconError(f"cannot write {path}: {error.strerror}") from error


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
        raise CoarseconError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield sibling
        _replace_folder(sibling, path)
    finally:
        shutil.rmtree(sibling, ignore_errors=True)


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
        raise CoarseconError(f"cannot write {path}: {error.strerror}") from error
    if aside.is_dir():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink(missing_ok=True)


def _sibling(path: Path) -> Path:
    """A hidden name beside `path`, on the same file system, that nothing else uses."""
    return path.with_name(f".{path.name}.{uuid4().hex}")
