"""Folders packed as they are published; the folder itself goes."""

import shutil
import tarfile
import zipfile
from pathlib import Path


def zipped(folder: Path, name: str = "") -> Path:
    """Packs `folder` into the zip `name` beside it."""
    archive = folder.with_name(name or f"{folder.name}.zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in [folder, *sorted(folder.rglob("*"))]:
            out.write(path, path.relative_to(folder.parent))
    shutil.rmtree(folder)
    return archive


def tarred(folder: Path, name: str = "") -> Path:
    """Packs `folder` into the gzipped tar `name` beside it."""
    archive = folder.with_name(name or f"{folder.name}.tar.gz")
    with tarfile.open(archive, "w:gz", compresslevel=1) as out:
        out.add(folder, folder.name)
    shutil.rmtree(folder)
    return archive
