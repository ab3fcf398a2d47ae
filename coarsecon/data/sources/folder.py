"""Your own images: a tree of class folders, or a table of paths and labels."""

import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from coarsecon.data.formats.missing import similar_names
from coarsecon.data.formats.names import canonical, path_on_disk
from coarsecon.data.prepared.fine_names import written_names
from coarsecon.data.sources import Source, SourceData, SourceRequest, SplitData
from coarsecon.data.sources.coarse_map import check_mapped, read_coarse_map
from coarsecon.data.sources.image_table import list_table
from coarsecon.data.sources.label_options import LabelOptions, split_names
from coarsecon.data.sources.listing import FOLDER_LEVELS, LAYOUT, ListedImage, further_levels, list_tree
from coarsecon.errors import InputError


class FolderConfig(LabelOptions):
    """Options of the source `folder`."""

    table: Path | None = Field(None, description="CSV or Parquet table with image paths, labels and splits.")
    folder_levels: tuple[str, ...] = Field(
        (),
        description="Label levels of the class folders from the top, separated by commas, such as "
        "department,coarse,fine. Default: coarse,fine.",
        json_schema_extra={"metavar": "LEVELS"},
    )
    group_pattern: str | None = Field(
        None,
        description="Regular expression that is searched in image paths: images with the same match (of its group, if "
        "it has one) stay in one split or fold.",
        json_schema_extra={"metavar": "REGEX"},
    )

    @field_validator("folder_levels", mode="before")
    @classmethod
    def _check_levels(cls, names: Any) -> Any:
        """Split names at commas; coarse must be one of them."""
        levels = split_names(names)
        if levels and "coarse" not in levels:
            raise ValueError("names no level coarse, the one to train on by default")
        if len(set(levels)) < len(levels):
            raise ValueError("names a level twice")
        return levels

    @field_validator("group_pattern")
    @classmethod
    def _check_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression ({error})") from None
        return pattern


class Folder(Source):
    """Read images in class folders or in a table."""

    Config = FolderConfig

    name = "folder"
    about = """\
Your own images: in class folders coarse/image or coarse/fine/image, or deeper ones whose levels are named, optionally
under train/, val/ and test/; or in a CSV or Parquet table with the columns path and coarse, and optionally fine and
split, whose paths are relative to the table or to the source. Other usual column names are recognized (filename, label,
species, ...). Labels may be missing for some images (empty, NA, NaN, null, ...). Without splits all images are for
training. Up to a size of 64 px, images become squares of that size; above it, copies slightly larger than needed."""
    counts = {}
    default_size = 224
    terms = "Your own."
    disk = "about 40 KB per prepared image at 224 px, 12 KB at 64 px"

    def read(self, request: SourceRequest, config: FolderConfig) -> SourceData:
        """Return the images of the folder `request.source` or of the table `config.table`; unknown labels are -1."""
        root, images, notes = _list(request, config)
        place = config.table or root
        if not images:
            raise InputError(place, "no images", "expected rows below its first line")
        splits = sorted({image.split for image in images}, key=lambda split: (split != "train", split))
        if splits[0] != "train":
            raise InputError(place, f"no image is in the split train, only in {', '.join(splits)}")
        keys = {level: column for level, column in _keys(images, _further(config)).items() if any(column)}
        unclear = sum(
            bool(image.fine) and key is None for image, key in zip(images, keys.get("fine", ()), strict=False)
        )
        if unclear:
            request.reporter.info(
                f"{place}: {unclear:,} fine labels stay unknown: their images have no coarse label, and several coarse "
                "classes have a fine class of this name"
            )
        classes = {level: sorted(set(column) - {None}) for level, column in keys.items()}
        levels = {level: written_names(found) if level == "fine" else found for level, found in classes.items()}
        for level, names in levels.items():
            for alike in similar_names(names):
                request.reporter.info(f"{place}: the {level} classes {alike} differ only in spelling and stay separate")
        labels = {level: _numbers(keys[level], found) for level, found in classes.items()}
        has_groups = bool(config.group or config.group_pattern)
        return SourceData(
            name=root.resolve().name,
            size=request.size or self.default_size,
            levels=levels,
            splits={split: _select(images, split, root, labels, has_groups) for split in splits},
            notes=" ".join(notes),
        )


SOURCE = Folder()

TABLE_COLUMNS = ("path", "coarse", "fine", "group", "label_columns")
"""Options that name columns of a table."""


def _list(request: SourceRequest, config: FolderConfig) -> tuple[Path, list[ListedImage], list[str]]:
    """Return the folder that paths are relative to, the images with their coarse labels, and notes."""
    notes: list[str] = []
    if config.table is not None and config.folder_levels:
        raise InputError("folder_levels", "names folders, but a table lists the images", "leave folder_levels out")
    if config.folder_levels and config.coarse_map:
        raise InputError("coarse_map", "conflicts with folder_levels, which names coarse folders", "omit one of them")
    if config.table is not None:
        root, images = _list_table(config.table, request, config)
    elif request.source is None:
        raise InputError("source", "missing", "name a folder of images, or a table of them (table)")
    elif named := next((name for name in TABLE_COLUMNS if getattr(config, name)), None):
        raise InputError(named, "names a column of a table, but there is no table", "set table")
    elif not (root := path_on_disk(request.source)).is_dir():
        raise InputError(request.source, "no such folder", "name a folder as source, or a CSV or Parquet file as table")
    else:
        images, left_out = list_tree(root, config.folder_levels or FOLDER_LEVELS)
        if left_out.skipped:
            request.reporter.info(left_out.skipped)
        for warning in left_out.warnings:
            request.reporter.info(f"Warning: {warning}")
        if not images:
            raise InputError(root, "no images", f"expected {LAYOUT}")
        notes += [*left_out.warnings, *_spelling_notes(images)]
        if config.coarse_map:  # folders of one level are fine classes
            _check_apart(images, config.coarse_map)
            images = [image._replace(fine=image.fine or image.coarse) for image in images]
    if config.coarse_map:
        coarse = read_coarse_map(path_on_disk(config.coarse_map), keep_na=config.keep_na)
        check_mapped({image.fine for image in images if image.fine}, coarse, config.coarse_map)
        images = [image._replace(coarse=coarse.get(image.fine, image.coarse)) for image in images]
        if images and not any(image.coarse for image in images):
            raise InputError(config.table, f"no image has a fine label that {config.coarse_map} maps")
    if config.group_pattern:
        images = _grouped(images, config)
    return root, images, notes


def _further(config: FolderConfig) -> tuple[str, ...]:
    """Return the levels of `ListedImage.more`."""
    return config.label_columns or further_levels(config.folder_levels)


def _grouped(images: list[ListedImage], config: FolderConfig) -> list[ListedImage]:
    """Group images by the match of the pattern in their paths; images without a match are on their own."""
    if config.group:
        raise InputError("group_pattern", "conflicts with group, which names a column of groups", "omit one of them")
    found = [re.search(config.group_pattern or "", image.path) for image in images]
    if not any(found):
        raise InputError("group_pattern", f"no path matches {config.group_pattern!r}, such as {images[0].path}")
    groups = ["/".join(part or "" for part in match.groups()) or match[0] if match else "" for match in found]
    return [image._replace(group=group) for image, group in zip(images, groups, strict=True)]


def _check_apart(images: list[ListedImage], coarse_map: Path) -> None:
    """Raise InputError if two class folders of one name would become one class, as a coarse map has only names."""
    folders: dict[str, set[str]] = {}
    for image in images:
        if image.fine:
            folders.setdefault(image.fine, set()).add(image.coarse)
    if several := next(((fine, above) for fine, above in sorted(folders.items()) if len(above) > 1), None):
        raise InputError(
            coarse_map,
            f"the fine class {several[0]} is in several folders: {', '.join(sorted(several[1])[:5])}",
            "rename the folders, or omit coarse_map",
        )


def _spelling_notes(images: list[ListedImage]) -> list[str]:
    """Return a note on class folders whose names differ only in their Unicode form, and so are one class."""
    folders = {parent for image in images for parent in PurePosixPath(image.path).parents}
    forms = Counter((folder.parent, canonical(folder.name)) for folder in folders)
    several = sorted({name for (_, name), count in forms.items() if count > 1})
    return [f"Folders in several Unicode forms became one class each: {', '.join(several)}."] if several else []


def _list_table(table: Path, request: SourceRequest, config: FolderConfig) -> tuple[Path, list[ListedImage]]:
    table = path_on_disk(table)
    root = path_on_disk(request.source) if request.source else table.parent
    images, notes = list_table(table, root, config)
    for note in notes:
        request.reporter.info(note)
    return root, images


def _keys(images: list[ListedImage], more: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the class of every image at each level, None where it is unknown.

    A fine class is identified by its coarse class and its name. An image without a coarse label belongs to the only
    coarse class that has a fine class of this name.
    """
    parents: dict[str, set[str]] = {}
    for image in images:
        if image.coarse:
            parents.setdefault(image.fine, set()).add(image.coarse)

    def fine_key(image: ListedImage) -> tuple[str, str] | None:
        above = {image.coarse} if image.coarse else parents.get(image.fine, {""})
        return (next(iter(above)), image.fine) if image.fine and len(above) == 1 else None

    keys: dict[str, list[Any]] = {
        "coarse": [image.coarse or None for image in images],
        "fine": [fine_key(image) for image in images],
    }
    return keys | {level: [image.more[place] or None for image in images] for place, level in enumerate(more)}


def _numbers(keys: list[Any], classes: list[Any]) -> np.ndarray:
    """Return the index of each key in `classes`, -1 for None."""
    numbers = {key: number for number, key in enumerate(classes)}
    return np.array([numbers.get(key, -1) for key in keys], np.int64)


def _select(
    images: list[ListedImage], split: str, root: Path, labels: dict[str, np.ndarray], has_groups: bool
) -> SplitData:
    chosen = [i for i, image in enumerate(images) if image.split == split]
    paths = [images[i].path for i in chosen]
    return SplitData(
        {level: column[chosen] for level, column in labels.items()},
        [root / path for path in paths],
        paths,
        [images[i].group for i in chosen] if has_groups else None,
    )
