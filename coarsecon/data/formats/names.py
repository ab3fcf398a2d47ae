"""Compare names independently of their Unicode form.

Unicode has several spellings of one text: "é" is one code point (NFC) or "e" with a combining accent (NFD). macOS and
the archives made there store file names in NFD, keyboards and spreadsheets write NFC.
"""

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from unicodedata import normalize


def canonical(name: str) -> str:
    """Return the form by which names are compared and class names stored: NFC."""
    return name if name.isascii() else normalize("NFC", name)


def path_on_disk(path: Path) -> Path:
    """Return the path as the file system spells it, if it exists only in another Unicode form; else unchanged."""
    if str(path).isascii() or os.path.lexists(path):
        return path
    found = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        spelled = _part_on_disk(found, part)
        if spelled is None:
            return path
        found /= spelled
    return found


def first_spellings(names: Iterable[str]) -> dict[str, str]:
    """Map the canonical form of each name to its first spelling."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(canonical(name), name)
    return found


def _part_on_disk(folder: Path, name: str) -> str | None:
    """Return the entry of a folder with this name in any Unicode form."""
    for spelled in (name, normalize("NFC", name), normalize("NFD", name)):
        if os.path.lexists(folder / spelled):
            return spelled
    try:
        return _listing(folder, folder.stat().st_mtime_ns).get(canonical(name))
    except OSError:
        return None


@lru_cache(maxsize=64)
def _listing(folder: Path, changed: int) -> dict[str, str]:
    return first_spellings(entry.name for entry in folder.iterdir())
