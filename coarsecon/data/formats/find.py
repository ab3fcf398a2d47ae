"""Find the image files of a gallery or of queries: in folders of any depth, or named one by one."""

from collections.abc import Sequence
from pathlib import Path

from coarsecon.data.formats.image_formats import is_image
from coarsecon.data.formats.left_out import LeftOut
from coarsecon.data.formats.names import path_on_disk
from coarsecon.data.formats.walk import walk
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter


def find_images(places: Sequence[Path], reporter: Reporter | None = None) -> list[Path]:
    """Return the image files in `places`: files unchecked, and all images in and below folders, each once.

    Files that are skipped in folders are reported.

    Raises:
        InputError: A place does not exist, or a folder contains no image.
    """
    files: list[Path] = []
    for named in places:
        place = path_on_disk(named)
        if place.is_dir():
            files += _images_below(place, reporter or Reporter())
        elif place.is_file():
            files.append(place)
        else:
            raise InputError(place, "no such image or folder", "check the path")
    return files


def _images_below(folder: Path, reporter: Reporter) -> list[Path]:
    images, left_out = [], LeftOut()
    for entry in walk(folder, once=True):
        if entry.kind == "file":
            file = folder.joinpath(*entry.parts)
            if is_image(file):
                images.append(file)
            else:
                left_out.files.append(entry.path)
        elif entry.kind != "folder":
            left_out.unreadable.append(entry)
    notes = [left_out.skipped] * bool(left_out.files) + left_out.warnings
    if not images:
        raise InputError(folder, f"no images in this folder{'; ' * bool(notes)}{' '.join(notes)}")
    for line in notes:
        reporter.info(f"{folder}: {line}")
    return _without_repeats(images)


def _without_repeats(files: list[Path]) -> list[Path]:
    """Return the files without links to other files among them."""
    links = {file for file in files if file.is_symlink()}
    if not links:
        return files
    seen = {_identity(file) for file in files if file not in links}
    kept = []
    for file in files:
        if file not in links:
            kept.append(file)
        elif (identity := _identity(file)) not in seen:
            seen.add(identity)
            kept.append(file)
    return kept


def _identity(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino
