"""Walk a folder of images without hidden files and files of operating systems and programs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from coarsecon.errors import InputError

HIDDEN_PREFIXES = (".", "~$", "synophoto_thumb", "synofile_thumb")
"""Prefixes of Unix and macOS (also AppleDouble, ._NAME), Office, and Synology thumbnails."""

SYSTEM_NAMES = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "recycler", "found.000"),
        *("system volume information", "__macosx", "icon\r", "desktop db", "desktop df", "network trash folder"),
        *("temporary items", "thevolumesettingsfolder", "lost+found", "lost.dir", "picasa.ini", "__pycache__"),
        *("@eadir", "@tmp", "@sharebin", "@sharesnap", "#recycle", "#snapshot", "@recycle", "@__thumb"),
        *("@recently-snapshot", "@snapshot", "@transcode"),
    }
)
"""Files and folders of Windows, macOS, Linux, Android, Synology and QNAP, in lowercase."""

Kind = Literal["file", "folder", "broken link", "link loop", "special file", "non-UTF-8 name"]


class Entry(NamedTuple):
    """A file or folder below the walked one: the parts of its path, and its kind."""

    parts: tuple[str, ...]
    kind: Kind

    @property
    def path(self) -> str:
        """Its path with /, always printable."""
        return "/".join(self.parts).encode(errors="backslashreplace").decode()


def is_system_name(name: str) -> bool:
    """Return whether a file or folder is hidden, or belongs to an operating system or a storage device."""
    lower = name.lower()
    return lower in SYSTEM_NAMES or lower.startswith(HIDDEN_PREFIXES)


def walk(root: Path, *, once: bool = False, max_depth: int | None = None) -> Iterator[Entry]:
    """Yield the visible files and folders below `root`, sorted by name within a folder; folders before their content.

    Links are followed, but not into a folder that contains them.

    Args:
        root: The folder to walk.
        once: Enter each folder once, regardless of the number of links to it.
        max_depth: Maximum number of levels of folders below `root`; None: all.

    Raises:
        InputError: A folder cannot be listed.
    """
    entered: set[tuple[int, int]] | None = set() if once else None
    yield from _walk(root, (), (_identity(root),), entered, max_depth)


def visible_files(folder: Path) -> list[Path]:
    """Return the visible files directly in `folder`, sorted by name; raises like `walk`."""
    return [folder.joinpath(*entry.parts) for entry in walk(folder, max_depth=0) if entry.kind == "file"]


def _walk(
    folder: Path,
    parents: tuple[str, ...],
    ancestors: tuple[tuple[int, int], ...],
    entered: set[tuple[int, int]] | None,
    max_depth: int | None,
) -> Iterator[Entry]:
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(folder, f"cannot be listed ({error.strerror})") from error
    for entry in entries:
        if is_system_name(entry.name):
            continue
        found = Entry((*parents, entry.name), _kind(entry))
        if found.kind == "folder":
            path = Path(entry.path)
            identity = _identity(path)
            if identity in ancestors:
                yield found._replace(kind="link loop")
                continue
            if entered is not None and identity in entered:
                continue
            if entered is not None:
                entered.add(identity)
            yield found
            if max_depth is None or len(parents) < max_depth:
                yield from _walk(path, found.parts, (*ancestors, identity), entered, max_depth)
        else:
            yield found


def _kind(entry: os.DirEntry[str]) -> Kind:
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "non-UTF-8 name"
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:  # a link to itself
        return "broken link"
    return "broken link" if entry.is_symlink() and not Path(entry.path).exists() else "special file"


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError as error:
        raise InputError(folder, f"cannot be listed ({error.strerror})") from error
    return status.st_dev, status.st_ino
