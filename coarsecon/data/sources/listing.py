"""List the images and labels of a tree of class folders."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from coarsecon.data.formats.image_formats import SUFFIXES, is_image
from coarsecon.data.formats.left_out import LeftOut, folders_without_images
from coarsecon.data.formats.names import canonical
from coarsecon.data.formats.walk import Entry, walk
from coarsecon.data.prepared.fine_names import written_names
from coarsecon.errors import InputError

SPLITS = {
    **{"train": "train", "training": "train", "test": "test", "testing": "test"},
    **{"val": "val", "valid": "val", "validation": "val", "dev": "val"},
}
"""Usual names of splits, in any case; as classes, train and Test would become labels to predict."""
LAYOUT = "coarse/image or coarse/fine/image, optionally under train/, val/ and test/"
FOLDER_LEVELS = ("coarse", "fine")
"""Label levels of the class folders, from the top."""


class ListedImage(NamedTuple):
    """One image: its path in the listed folder (with /) and its labels, "" where unknown.

    `more` holds the labels of further levels; `group` is the same for images that belong together.
    """

    path: str
    coarse: str
    fine: str
    split: str
    more: tuple[str, ...] = ()
    group: str = ""


def list_tree(root: Path, levels: Sequence[str] = FOLDER_LEVELS) -> tuple[list[ListedImage], LeftOut]:
    """List the images of a tree of class folders, sorted by path, and what was left out.

    Folders below the top of the tree, or of a split, are classes of `levels` in this order; an image in a folder of
    fewer levels has no label at the others. Levels other than coarse and fine are in `more`, in the same order.

    If all top folders with images have names in `SPLITS`, they are splits; otherwise everything is `train`. Files with
    the suffix of an image are listed without being opened. Class names are in Unicode form NFC.

    Raises:
        InputError: An image is outside the class folders or too deep, only some top folders are splits, or a name is
            not UTF-8.
    """
    images: list[tuple[str, ...]] = []
    others, folders, left_out = [], [], LeftOut()
    for entry in walk(root):
        if entry.kind == "non-UTF-8 name":
            raise InputError(root, f"the name {entry.path} is not UTF-8", "rename it")
        if entry.kind == "folder":
            folders.append(entry.parts)
        elif _is_listed(root, entry):
            if len(entry.parts) > len(levels) + 2:
                raise InputError(root.joinpath(*entry.parts[: len(levels) + 2]), "a folder too deep", _expected(levels))
            images.append(entry.parts)
        elif entry.kind == "file":
            others.append(entry.parts)
        else:
            left_out.unreadable.append(entry)
    left_out.files = ["/".join(parts) for parts in others]
    left_out.folders = folders_without_images(folders, images, others)
    has_splits = _has_splits(root, images)
    placed = [_placed(root, parts, has_splits, levels) for parts in images]
    folders = [classes for _, classes in placed]
    names = [dict(zip(levels, classes, strict=False)) for classes in _distinct(folders, len(levels))]
    if FOLDER_LEVELS in pairwise(levels):  # the reader of labels distinguishes fine classes of one name itself
        place = levels.index("fine")
        names = [found | {"fine": own[place]} if len(own) > place else found
                 for found, own in zip(names, folders, strict=True)]  # fmt: skip
    listed = [
        ListedImage("/".join(parts), found.get("coarse", ""), found.get("fine", ""), split,
                    tuple(found.get(level, "") for level in further_levels(levels)))
        for parts, (split, _), found in zip(images, placed, names, strict=True)
    ]  # fmt: skip
    return listed, left_out


def further_levels(levels: Sequence[str]) -> tuple[str, ...]:
    """Return the levels other than coarse and fine, in order."""
    return tuple(level for level in levels if level not in FOLDER_LEVELS)


def _is_listed(root: Path, entry: Entry) -> bool:
    """Return whether it is an image; a broken link with the suffix of an image counts as a broken image."""
    if entry.kind == "broken link":
        return entry.parts[-1].lower().endswith(SUFFIXES)
    return entry.kind == "file" and is_image(root.joinpath(*entry.parts))


def _has_splits(root: Path, images: list[tuple[str, ...]]) -> bool:
    tops = {parts[0] for parts in images if len(parts) > 1}
    others = sorted(top for top in tops if split_name(top) not in SPLITS)
    if others and len(tops) - len(others) > 1:
        raise InputError(root, f"other folders than train, val and test: {others[0]}", f"expected {LAYOUT}")
    return not others


def _placed(root: Path, parts: tuple[str, ...], has_splits: bool, levels: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the split and the class folders of an image."""
    split, folders = (split_name(parts[0]), parts[1:-1]) if has_splits else ("train", parts[:-1])
    if not 1 <= len(folders) <= len(levels):
        problem = "too deep" if folders else "not in a class folder"
        raise InputError(root, f"{'/'.join(parts)} is {problem}", _expected(levels))
    return split, tuple(map(canonical, folders))


def _distinct(folders: Sequence[tuple[str, ...]], depth: int) -> list[list[str]]:
    """Return a name for the folder of each image at each depth: folders of one name in two folders have two names.

    They are written as `parent/name`.
    """
    names = [list(classes[:1]) for classes in folders]
    for place in range(1, depth):
        pairs = [(found[-1], classes[place]) if len(classes) > place else None
                 for found, classes in zip(names, folders, strict=True)]  # fmt: skip
        known = sorted({pair for pair in pairs if pair})
        written = dict(zip(known, written_names(known), strict=True))
        for found, pair in zip(names, pairs, strict=True):
            found += [written[pair]] if pair else []
    return names


def _expected(levels: Sequence[str]) -> str:
    if tuple(levels) == FOLDER_LEVELS:
        return f"expected {LAYOUT}; name the levels of deeper folders with folder_levels"
    return f"expected {'/'.join(levels)}/image, optionally under train/, val/ and test/"


def split_name(name: str) -> str:
    """Return the split that a name means; any other name is returned unchanged."""
    return SPLITS.get(name.lower(), name)
