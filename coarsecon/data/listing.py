"""Which images a user has and how they are labelled: read from a tree of class folders, or from a table."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from coarsecon.data.images import SUFFIXES
from coarsecon.data.tables import read_rows
from coarsecon.errors import InputError

SPLITS = {
    **{"train": "train", "training": "train", "test": "test", "testing": "test"},
    **{"val": "val", "valid": "val", "validation": "val"},
}
"""What people call the splits, in any case; taken for classes, train and Test would be learned to tell apart."""
LAYOUT = "coarse/image or coarse/fine/image, if need be under train/, val/ and test/"


class ListedImage(NamedTuple):
    """One image: its path in the folder that was listed (with /) and its labels; those that are unknown are "".

    `more` are the labels of further levels.
    """

    path: str
    coarse: str
    fine: str
    split: str
    more: tuple[str, ...] = ()


def list_tree(root: Path) -> tuple[list[ListedImage], list[str]]:
    """The images of a tree of class folders, sorted by path, and the visible files that are no images.

    When all folders at the top are called as `SPLITS`, they are splits; else everything is `train`.

    Raises:
        InputError: an image lies outside the class folders or too deep, or only some top folders are splits.
    """
    try:
        files = list(_walk(root))
    except OSError as error:
        raise InputError(f"{root}: cannot be listed ({error})") from error
    tops = {parts[0] for parts in files if len(parts) > 1}
    others_on_top = sorted(top for top in tops if _split(top) not in SPLITS)
    has_splits = not others_on_top
    if len(tops) - len(others_on_top) > 1 and not has_splits:
        raise InputError(f"{root}: beside train, val and test there is {others_on_top[0]}; expected {LAYOUT}")
    images, others = [], []
    for parts in files:
        path = "/".join(parts)
        split, classes = (_split(parts[0]), parts[1:-1]) if has_splits else ("train", parts[:-1])
        if not path.lower().endswith(SUFFIXES):
            others.append(path)
        elif len(classes) == 1:
            images.append(ListedImage(path, classes[0], "", split))
        elif len(classes) == 2:
            images.append(ListedImage(path, *classes, split))
        else:
            raise InputError(
                f"{root}: {path} lies {'too deep' if classes else 'in no class folder'}; expected {LAYOUT}"
            )
    return images, others


def _split(name: str) -> str:
    """The split that is meant by a name; of another name itself."""
    return SPLITS.get(name.lower(), name)


def _walk(folder: Path, parents: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The parts of the path of each visible file below, sorted; links are followed."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        parts = (*parents, entry.name)
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if not _is_text(entry.name):
            raise InputError(f"{folder}: the name {entry.name!a} is not UTF-8; rename it")
        if not entry.is_dir():
            yield parts
        elif len(parts) <= 3:
            yield from _walk(Path(entry.path), parts)
        else:
            raise InputError(f"{folder.joinpath(entry.name)}: a folder too deep; expected {LAYOUT}")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class Columns(NamedTuple):
    """The columns of a table that hold the labels; `coarse` is None where these are made from the fine ones."""

    coarse: str | None = "coarse"
    fine: str = "fine"
    more: tuple[str, ...] = ()


def list_table(table: Path, root: Path, columns: Columns = Columns()) -> tuple[list[ListedImage], list[str]]:
    """The images of a CSV or Parquet table with a column path (relative to `root`), columns of labels and maybe split,
    and the names of its other columns.

    Raises:
        InputError: a column, a value or an image is missing, a path is listed twice or leads out of `root`,
            or the table cannot be read.
    """
    images: list[ListedImage] = []
    others: list[str] = []
    seen: dict[PurePosixPath, str] = {}
    needed = {"path", columns.coarse or columns.fine, *columns.more}
    for where, row in read_rows(table, needed | ({columns.fine} - {"fine"})):
        path, fine, split = row["path"], row.get(columns.fine, ""), _split(row.get("split", "train"))
        coarse = row[columns.coarse] if columns.coarse else ""
        if not (path and (coarse or not columns.coarse)):
            raise InputError(f"{where}: path and {columns.coarse} must not be empty")
        if not re.fullmatch(r"[\w-]+", split, re.ASCII):
            raise InputError(f"{where}: {split!r} is no name of a split; use train, val or test")
        relative = _relative(path, root, where)
        if relative in seen:
            raise InputError(f"{where}: {path} is listed before, at {seen[relative]}; keep one of the two")
        seen[relative] = where
        images.append(ListedImage(str(relative), coarse, fine, split, tuple(row[name] for name in columns.more)))
        others = [name for name in row if name not in needed | {columns.fine, "split"}]
    return images, others


def _relative(path: str, root: Path, where: str) -> PurePosixPath:
    """A path of a table once it is known to name a file inside `root`; links in `root` are followed."""
    as_windows = PureWindowsPath(path)  # knows both kinds of separators, and drives
    if as_windows.anchor or ".." in as_windows.parts:
        raise InputError(
            f"{where}: {path} is absolute or leads out of {root}; give paths relative to the table's folder, "
            "or to a folder that holds all images and is named with --source"
        )
    if "\\" in path and not (root / path).is_file():  # a table written on Windows
        path = as_windows.as_posix()
    if not (root / path).is_file():
        raise InputError(f"{where}: there is no file {root / path}")
    return PurePosixPath(path)
