"""List the images and labels of a tree of class folders."""

from pathlib import Path
from typing import NamedTuple

from coarsecon.data.formats.image_formats import SUFFIXES, is_image
from coarsecon.data.formats.left_out import LeftOut, folders_without_images
from coarsecon.data.formats.names import canonical
from coarsecon.data.formats.walk import Entry, walk
from coarsecon.errors import InputError

SPLITS = {
    **{"train": "train", "training": "train", "test": "test", "testing": "test"},
    **{"val": "val", "valid": "val", "validation": "val", "dev": "val"},
}
"""Usual names of splits, in any case; as classes, train and Test would become labels to predict."""
LAYOUT = "coarse/image or coarse/fine/image, optionally under train/, val/ and test/"


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


def list_tree(root: Path) -> tuple[list[ListedImage], LeftOut]:
    """List the images of a tree of class folders, sorted by path, and what was left out.

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
            if len(entry.parts) > 4:
                raise InputError(root.joinpath(*entry.parts[:4]), "a folder too deep", f"expected {LAYOUT}")
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


def _listed(root: Path, parts: tuple[str, ...], has_splits: bool) -> ListedImage:
    path = "/".join(parts)
    split, folders = (split_name(parts[0]), parts[1:-1]) if has_splits else ("train", parts[:-1])
    if not 1 <= len(folders) <= 2:
        problem = "too deep" if folders else "not in a class folder"
        raise InputError(root, f"{path} is {problem}", f"expected {LAYOUT}")
    coarse, fine = map(canonical, (*folders, "")[:2])
    return ListedImage(path, coarse, fine, split)


def split_name(name: str) -> str:
    """Return the split that a name means; any other name is returned unchanged."""
    return SPLITS.get(name.lower(), name)
