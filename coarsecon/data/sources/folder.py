"""Your own images: a tree of class folders, or a table of paths and labels."""

import re
from collections import Counter
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from coarsecon.data.listing import LAYOUT, Columns, ListedImage, list_table, list_tree
from coarsecon.data.names import canonical, path_on_disk
from coarsecon.data.schema import LEVEL_NAME
from coarsecon.data.sources import Source, SourceData, SourceRequest, SplitData
from coarsecon.data.tables import check_mapped, read_coarse_map
from coarsecon.errors import InputError


def read(request: SourceRequest) -> SourceData:
    """The images of the folder `request.source` or the table `request.table`; an unknown label is -1."""
    root, images, notes = _list(request)
    place = request.table or root
    if not images:
        raise InputError(f"{place}: no images; expected rows below its first line")
    splits = sorted({image.split for image in images}, key=lambda split: (split != "train", split))
    if splits[0] != "train":
        raise InputError(f"{place}: no image is in the split train, only in {', '.join(splits)}")
    classes = _classes(images, request.label_columns)
    levels = {level: list(numbers) for level, numbers in classes.items()}
    if "fine" in classes:
        levels["fine"] = _fine_names(list(classes["fine"]))
    return SourceData(
        name=root.resolve().name,
        size=request.size or SOURCE.default_size,
        levels=levels,
        splits={split: _select(images, split, root, request.label_columns, classes) for split in splits},
        notes=" ".join(notes + ["All images are in the split train: no other was named."] * (len(splits) == 1)),
    )


def _list(request: SourceRequest) -> tuple[Path, list[ListedImage], list[str]]:
    """The folder the paths are relative to, the images with their coarse labels, and notes on what was found."""
    notes: list[str] = []
    if request.table is not None:
        root, images = _list_table(request.table, request)
    elif request.source is None:
        raise InputError("give a folder of images with --source, or a table of them with --table")
    elif request.coarse or request.fine or request.label_columns:
        raise InputError("--coarse, --fine and --label-columns name columns of a --table")
    elif not (root := path_on_disk(request.source)).is_dir():
        raise InputError(f"{request.source}: no such folder; --source takes a folder, --table a CSV or Parquet file")
    else:
        images, left_out = list_tree(root)
        if left_out.skipped:
            request.reporter.info(left_out.skipped)
        for warning in left_out.warnings:
            request.reporter.info(f"Warning: {warning}")
        if not images:
            raise InputError(f"{root}: no images; expected {LAYOUT}")
        notes += [*left_out.warnings, *_spelling_notes(images)]
        if request.coarse_map:  # then folders of one level are fine classes
            images = [image._replace(fine=image.fine or image.coarse) for image in images]
    if request.coarse_map:
        coarse = read_coarse_map(path_on_disk(request.coarse_map))
        check_mapped({image.fine for image in images if image.fine}, coarse, request.coarse_map)
        images = [image._replace(coarse=coarse.get(image.fine, image.coarse)) for image in images]
        if nowhere := next((image for image in images if not image.coarse), None):
            raise InputError(f"{request.table}: {nowhere.path} has neither a fine nor a coarse label")
    return root, images, notes


def _spelling_notes(images: list[ListedImage]) -> list[str]:
    """Which class folders lie side by side in several Unicode forms, and so are one class."""
    folders = {parent for image in images for parent in PurePosixPath(image.path).parents}
    forms = Counter((folder.parent, canonical(folder.name)) for folder in folders)
    several = sorted({name for (_, name), count in forms.items() if count > 1})
    return [f"Folders in several Unicode forms became one class each: {', '.join(several)}."] if several else []


def _list_table(table: Path, request: SourceRequest) -> tuple[Path, list[ListedImage]]:
    for name in request.label_columns:
        if name in ("coarse", "fine"):
            raise InputError(f"--label-columns: {name!r} is a level anyway; name further columns")
        if not re.fullmatch(LEVEL_NAME, name):
            raise InputError(f"--label-columns: {name!r} is no name for a level; use letters, digits, - and _")
    coarse = request.coarse or (None if request.coarse_map else "coarse")
    columns = Columns(coarse, request.fine or "fine", request.label_columns)
    table = path_on_disk(table)
    root = path_on_disk(request.source) if request.source else table.parent
    images, others = list_table(table, root, columns)
    if others:
        request.reporter.info(f"columns not used: {', '.join(others)}; --label-columns NAME makes one a level")
    return root, images


def _classes(images: list[ListedImage], more: tuple[str, ...]) -> dict[str, dict[Any, int]]:
    """The numbers of the classes of each level that has any; a fine class is known by its coarse one and its name."""
    keys: dict[str, set[Any]] = {
        "coarse": {image.coarse for image in images},
        "fine": {(image.coarse, image.fine) for image in images if image.fine},
    }
    for place, level in enumerate(more):
        keys[level] = {image.more[place] for image in images} - {""}
    return {level: dict(zip(sorted(found), count())) for level, found in keys.items() if found}


def _fine_names(fine: list[tuple[str, str]]) -> list[str]:
    """The names of the fine classes; those that stand under two coarse classes become coarse/fine."""
    uses = Counter(name for _, name in fine)
    return [f"{coarse}/{name}" if uses[name] > 1 else name for coarse, name in fine]


def _select(
    images: list[ListedImage], split: str, root: Path, more: tuple[str, ...], classes: dict[str, dict[Any, int]]
) -> SplitData:
    chosen = [image for image in images if image.split == split]
    keys: dict[str, list[Any]] = {
        "coarse": [image.coarse for image in chosen],
        "fine": [(image.coarse, image.fine) for image in chosen],
    }
    for place, level in enumerate(more):
        keys[level] = [image.more[place] for image in chosen]
    labels = {level: np.array([numbers.get(key, -1) for key in keys[level]]) for level, numbers in classes.items()}
    return SplitData(labels, [root / image.path for image in chosen], [image.path for image in chosen])


SOURCE = Source(
    name="folder",
    about="""\
Your own images: in class folders coarse/image or coarse/fine/image (--source), if need be under train/,
val/ and test/; or in a table (--table, CSV or Parquet) with columns path, coarse and maybe fine and split,
its paths relative to the table or to --source. --coarse and --fine name other columns, --label-columns further
levels. --coarse-map makes coarse labels from fine ones: a table with columns fine and coarse. Fine labels may be
absent, for single images too; without splits all images are train. Up to --size 64 images become squares of that
size, above it copies little larger than needed.""",
    counts={},
    default_size=224,
    read=read,
    terms="Your own.",
    disk="prepared about 40 KB an image of 224 px, 12 KB of 64 px",
    options=("table", "label_columns", "coarse_map", "coarse", "fine"),
)
