"""The files that an export wrote, so that replacing it removes nothing that a user added or edited."""

import hashlib
from pathlib import Path

from coarsecon.errors import InputError
from coarsecon.runtime.documents import read_json_object
from coarsecon.runtime.folders import MARKER

RECORD = "export.json"
"""The file of an export that records the encoder it was made from, and the other files with their digests."""


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in `folder`."""
    return {name: _digest(path) for name, path in _files(folder).items()}


def other_files(folder: Path) -> list[str]:
    """Return the files in `folder` that no export wrote, or that were edited since; sorted by name."""
    try:
        recorded = read_json_object(folder / RECORD).get("files")
    except (OSError, InputError):
        recorded = None
    if not isinstance(recorded, dict):
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    found = _files(folder)
    return sorted(name for name, path in found.items() if path.is_symlink() or recorded.get(name) != _digest(path))


def _files(folder: Path) -> dict[str, Path]:
    """Return all files below `folder` except the record and the marker of a temporary folder."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {
        name: path for name, path in found.items()
        if name not in (RECORD, MARKER) and (path.is_symlink() or not path.is_dir())
    }  # fmt: skip


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
