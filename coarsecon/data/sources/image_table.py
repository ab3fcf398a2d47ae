"""List the images and labels of a table."""

import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from coarsecon.data.formats.columns import CLASSES, ColumnChoice
from coarsecon.data.formats.missing import LabelColumns, is_missing
from coarsecon.data.formats.names import path_on_disk
from coarsecon.data.formats.tables import read_table
from coarsecon.data.sources.label_options import LabelOptions
from coarsecon.data.sources.listing import ListedImage, split_name
from coarsecon.errors import InputError


def list_table(table: Path, root: Path, options: LabelOptions = LabelOptions()) -> tuple[list[ListedImage], list[str]]:
    """List the images of a CSV or Parquet table, with notes on how it was read.

    The table has a column of paths (relative to `root`), columns of labels, and may have one of splits. Missing labels
    are "".

    Raises:
        InputError: A column or an image is missing, no image has a label, a path is listed twice or leads out of
            `root`, or the table cannot be read.
    """
    opened = read_table(table)
    choice = ColumnChoice(
        table, opened.columns, (options.path, options.coarse, options.fine, options.group, *options.label_columns)
    )
    path_column = choice.require("path", choice.choose("path", options.path))
    split_column = choice.choose("split")
    if options.coarse or not options.coarse_map:
        remedy = ", or derive coarse labels from fine ones with coarse_map"
        coarse_column = choice.require("coarse", choice.choose("coarse", options.coarse), remedy)
        fine_column = choice.choose("fine", options.fine)
    else:
        coarse_column = None
        fine_column = choice.require("fine", choice.choose("fine", options.fine, more=CLASSES))
    group_column = choice.choose("group", options.group) if options.group else None
    more = [choice.choose(name, name) or name for name in options.label_columns]

    labels = LabelColumns(keep_na=options.keep_na)
    images: list[ListedImage] = []
    seen: dict[PurePosixPath, str] = {}
    for where, row in opened.rows:
        path = row[path_column]
        if is_missing(path):
            raise InputError(where, f"the path in the column {path_column} is missing")
        relative = _relative(path, root, where)
        if relative in seen:
            raise InputError(where, f"{path} is already listed at {seen[relative]}", "keep one of the two")
        seen[relative] = where
        coarse = labels.read(coarse_column, row[coarse_column]) if coarse_column else ""
        fine = labels.read(fine_column, row[fine_column]) if fine_column else ""
        split = split_name(row[split_column]) if split_column else "train"
        if is_missing(split) or not re.fullmatch(r"[\w-]+", split, re.ASCII):
            raise InputError(where, f"{split!r} is not a valid split name", "use train, val or test")
        further = tuple(labels.read(name, row[name]) for name in more)
        group = row[group_column] if group_column and not is_missing(row[group_column]) else ""
        images.append(ListedImage(str(relative), coarse, fine, split, further, group))
    if images and coarse_column and not any(image.coarse for image in images):
        raise InputError(table, f"the column {coarse_column} holds no label: all {len(images):,} are missing")
    notes = [*opened.notes, *choice.notes(), *labels.notes()]
    if others := choice.unused():
        notes.append(f"columns not used: {', '.join(others)}; add them to label_columns to make them levels")
    return images, notes


def _relative(path: str, root: Path, where: str) -> PurePosixPath:
    """Return a path of a table, relative to `root`, if it names a file there; links in `root` are followed."""
    if re.match(r"\w[\w+.-]+://", path):
        raise InputError(where, f"{path} is a URL", "download the images and give paths of files")
    given = path_on_disk(Path(path)) if Path(path).is_absolute() else Path(path)
    base = next((base for base in (root.absolute(), root.resolve()) if given.is_relative_to(base)), None)
    path = str(given.relative_to(base)) if base else path
    as_windows = PureWindowsPath(path)  # knows both kinds of separators, and drives
    if as_windows.anchor or ".." in as_windows.parts:
        raise InputError(
            where,
            f"{path} is absolute or leads out of {root}",
            "give paths relative to the folder of the table, or to the folder with all images as source",
        )
    if "\\" in path and not path_on_disk(root / path).is_file():  # a table from Windows
        path = as_windows.as_posix()
    file = path_on_disk(root / path)
    if not file.is_file():
        raise InputError(where, f"no such file: {root / path}{_similar(root, PurePosixPath(path))}")
    return PurePosixPath(file.relative_to(path_on_disk(root)))


def _similar(root: Path, path: PurePosixPath) -> str:
    """Suggest the file that a path may mean: the same name in another case or with a suffix."""
    try:
        names = sorted(file.name for file in (root / path.parent).iterdir() if file.is_file())
    except OSError:
        return ""
    meant = path.name.casefold()
    near = next((name for name in names if meant in (name.casefold(), PurePosixPath(name).stem.casefold())), None)
    return f"; did you mean {path.parent / near}?" if near else ""
