"""Which images a user has and how they are labelled: read from a tree of class folders, or from a table."""

import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from coarsecon.data.formats import SUFFIXES, is_image
from coarsecon.data.left_out import LeftOut, folders_without_images
from coarsecon.data.names import canonical, path_on_disk
from coarsecon.data.tables import read_rows
from coarsecon.data.walk import Entry, walk
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


def list_tree(root: Path) -> tuple[list[ListedImage], LeftOut]:
    """The images of a tree of class folders, sorted by path, and what else is visible there.

    When all folders with images at the top are called as `SPLITS`, they are splits; else everything is `train`.
    Files with the suffix of an image are listed unopened, broken ones too. Names of classes are in the form NFC.

    Raises:
        InputError: an image lies outside the class folders or too deep, only some top folders are splits, or a name
            is not UTF-8.
    """
    images: list[tuple[str, ...]] = []
    others, folders, left_out = [], [], LeftOut()
    for entry in walk(root):
        if entry.kind == "non-UTF-8 name":
            raise InputError(f"{root}: the name {entry.path} is not UTF-8; rename it")
        if entry.kind == "folder":
            folders.append(entry.parts)
        elif _is_listed(root, entry):
            if len(entry.parts) > 4:
                raise InputError(f"{root.joinpath(*entry.parts[:4])}: a folder too deep; expected {LAYOUT}")
            images.append(entry.parts)
        elif entry.kind == "file":
            others.append(entry.parts)
        else:
            left_out.unreadable.append(entry)
    left_out.files = ["/".join(parts) for parts in others]
    left_out.folders = folders_without_images(folders, images, others)
    has_splits = _has_splits(root, images)
    return [_listed(root, parts, has_splits) for parts in images], left_out


def _is_listed(root: Path, entry: Entry) -> bool:
    """Whether it is an image; a broken link called as one is a broken image."""
    if entry.kind == "broken link":
        return entry.parts[-1].lower().endswith(SUFFIXES)
    return entry.kind == "file" and is_image(root.joinpath(*entry.parts))


def _has_splits(root: Path, images: list[tuple[str, ...]]) -> bool:
    tops = {parts[0] for parts in images if len(parts) > 1}
    others = sorted(top for top in tops if _split(top) not in SPLITS)
    if others and len(tops) - len(others) > 1:
        raise InputError(f"{root}: beside train, val and test there is {others[0]}; expected {LAYOUT}")
    return not others


def _listed(root: Path, parts: tuple[str, ...], has_splits: bool) -> ListedImage:
    path = "/".join(parts)
    split, folders = (_split(parts[0]), parts[1:-1]) if has_splits else ("train", parts[:-1])
    if not 1 <= len(folders) <= 2:
        problem = "too deep" if folders else "in no class folder"
        raise InputError(f"{root}: {path} lies {problem}; expected {LAYOUT}")
    coarse, fine = map(canonical, (*folders, "")[:2])
    return ListedImage(path, coarse, fine, split)


def _split(name: str) -> str:
    """The split that is meant by a name; of another name itself."""
    return SPLITS.get(name.lower(), name)


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
        more = tuple(canonical(row[name]) for name in columns.more)
        images.append(ListedImage(str(relative), canonical(coarse), canonical(fine), split, more))
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
    if "\\" in path and not path_on_disk(root / path).is_file():  # a table written on Windows
        path = as_windows.as_posix()
    file = path_on_disk(root / path)
    if not file.is_file():
        raise InputError(f"{where}: there is no file {root / path}")
    return PurePosixPath(file.relative_to(path_on_disk(root)))
