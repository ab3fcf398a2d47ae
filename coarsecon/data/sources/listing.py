"""Which images a user has and how they are labelled: read from a tree of class folders."""

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
    """Whether it is an image; a broken link called as one is a broken image."""
    if entry.kind == "broken link":
        return entry.parts[-1].lower().endswith(SUFFIXES)
    return entry.kind == "file" and is_image(root.joinpath(*entry.parts))


def _has_splits(root: Path, images: list[tuple[str, ...]]) -> bool:
    tops = {parts[0] for parts in images if len(parts) > 1}
    others = sorted(top for top in tops if split_name(top) not in SPLITS)
    if others and len(tops) - len(others) > 1:
        raise InputError(root, f"beside train, val and test there is {others[0]}", f"expected {LAYOUT}")
    return not others


def _listed(root: Path, parts: tuple[str, ...], has_splits: bool) -> ListedImage:
    path = "/".join(parts)
    split, folders = (split_name(parts[0]), parts[1:-1]) if has_splits else ("train", parts[:-1])
    if not 1 <= len(folders) <= 2:
        problem = "too deep" if folders else "in no class folder"
        raise InputError(root, f"{path} lies {problem}", f"expected {LAYOUT}")
    coarse, fine = map(canonical, (*folders, "")[:2])
    return ListedImage(path, coarse, fine, split)


def split_name(name: str) -> str:
    """The split that is meant by a name; of another name itself."""
    return SPLITS.get(name.lower(), name)
