"""Recognize the folder of a prepared dataset, and the files that belong to it."""

import os
import re
import shlex
from itertools import chain, islice
from pathlib import Path

from coarsecon.data.formats.image_formats import is_image
from coarsecon.data.formats.left_out import some
from coarsecon.data.formats.walk import walk
from coarsecon.errors import InputError
from coarsecon.runtime.folders import MARKER

MAX_SEARCHED_ENTRIES = 2000
"""Bound on the entries of another folder that are searched for images and prepared datasets."""

SPLIT_FILES = (".safetensors", ".files.json", ".groups.json")
"""Suffixes of the files of a split; the last one is optional."""

BROKEN = "broken.csv"
"""List of the images that were left out."""


def not_prepared(root: Path) -> InputError:
    """Return the error for a folder or file that is not a prepared dataset, with a remedy."""
    if not root.is_dir():
        option = "table" if root.suffix.lower() in (".csv", ".tsv", ".txt", ".parquet", ".pq") else "source"
        return InputError(root, "a file, not a prepared dataset", _prepare(option, root, root.stem))
    entries = list(islice(walk(root), MAX_SEARCHED_ENTRIES))
    folders = [root.joinpath(*entry.parts) for entry in entries if entry.kind == "folder"]
    if datasets := [str(folder) for folder in folders if is_prepared(folder)]:
        return InputError(root, "not a prepared dataset, but contains some", f"choose one of {some(datasets)}")
    if any(entry.kind == "file" and is_image(root.joinpath(*entry.parts)) for entry in entries):
        name = root.resolve().name
        return InputError(root, "contains images but is not a prepared dataset", _prepare("source", root, name))
    return InputError(root, "not a prepared dataset", "make one with `coarsecon prepare`")


def _prepare(option: str, original: Path, name: str) -> str:
    """Return a command that prepares images of a user, to a folder that does not exist yet."""
    names = chain([name], (f"{name}-prepared{i}" for i in ("", *range(2, 100))))
    out = next((out for name in names if not (out := Path("data") / name).exists()), Path("data/NAME"))
    command = shlex.join(["coarsecon", "prepare", "folder", f"--{option}", str(original), "--out", str(out)])
    return f"run `{command}` and pass {out}"


def is_prepared(path: Path) -> bool:
    """Return whether the folder `path` contains a prepared dataset."""
    return (path / "dataset.json").is_file()


def other_files(root: Path) -> list[str]:
    """Return the sorted paths in the folder of a prepared dataset that do not belong to the dataset."""
    own = {"dataset.json", BROKEN, MARKER}
    splits = [path.name.removesuffix(".files.json") for path in root.glob("*.files.json")]
    own |= {f"{name}{suffix}" for name in splits for suffix in SPLIT_FILES}
    copy = re.compile(rf"images/({'|'.join(map(re.escape, splits))})/\d{{4,}}/\d{{6,}}\.\w+")
    found = []
    for folder, subfolders, files in os.walk(root):
        links = [name for name in subfolders if (Path(folder) / name).is_symlink()]
        paths = [(Path(folder) / name).relative_to(root).as_posix() for name in [*files, *links]]
        found += [path for path in paths if path not in own and not copy.fullmatch(path)]
    return sorted(found)
