"""The prepared form of a dataset, which opens in constant time.

A folder with `dataset.json` and two files per split: `SPLIT.safetensors` holds an int64 column per label level
(-1: unknown) and, in the form `array`, `images` uint8 [N, 3, S, S]; `SPLIT.files.json` holds the original names of the
images and, in the form `files`, their paths under `images/SPLIT/`. An optional third file, `SPLIT.groups.json`, holds
what each image shows. Folders `labels/NAME` hold label columns that were added later.
"""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from coarsecon.data.formats.images import decode
from coarsecon.data.formats.names import path_on_disk
from coarsecon.data.prepared.folder import is_prepared, not_prepared
from coarsecon.data.prepared.label_columns import LabelColumn, read_column, read_columns
from coarsecon.data.prepared.schema import DatasetInfo, SplitFiles, SplitGroups, read_info, read_record
from coarsecon.errors import InputError
from coarsecon.runtime.folders import recover_folder

AGAIN = "prepare the dataset again"


@dataclass(frozen=True)
class Split:
    """One split of N images.

    Attributes:
        name: Name of the split.
        labels: An int64 column [N] per level (-1: unknown).
        images: uint8 [N, 3, S, S], mapped from disk; None in the form `files`.
        files: Image files; None in the form `array`.
        names: Original names of the images.
        mapped: The mapped file.
        groups: What each image shows, "" if unknown: images with the same value belong together.
    """

    name: str
    labels: dict[str, Tensor]
    images: Tensor | None
    files: list[Path] | None
    names: list[str]
    mapped: "MappedFile | None" = None
    groups: list[str] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def check_file(self) -> None:
        """Verify that the images can be read from the mapped file; reading past its end would kill the process.

        Raises:
            InputError: The file was truncated after it was opened.
        """
        if self.mapped is not None:
            self.mapped.check()

    def image(self, index: int) -> np.ndarray:
        """Return one image as uint8 [H, W, 3]."""
        if self.images is not None:
            self.check_file()
            return self.images[index].permute(1, 2, 0).numpy()
        assert self.files is not None
        return decode(self.files[index])

    def subset(self, n: int) -> "Split":
        """Return the first `n` images; an array stays mapped."""
        return replace(
            self,
            labels={level: column[:n] for level, column in self.labels.items()},
            images=None if self.images is None else self.images[:n],
            files=None if self.files is None else self.files[:n],
            names=self.names[:n],
            groups=None if self.groups is None else self.groups[:n],
        )

    def take(self, indices: Tensor) -> "Split":
        """Return the images at `indices` int64 [M]; those of an array are copied."""
        self.check_file()
        return replace(
            self,
            labels={level: column[indices] for level, column in self.labels.items()},
            images=None if self.images is None else self.images[indices],
            files=None if self.files is None else [self.files[i] for i in indices.tolist()],
            names=[self.names[i] for i in indices.tolist()],
            groups=None if self.groups is None else [self.groups[i] for i in indices.tolist()],
        )


class MappedFile:
    """A file that stays open as long as it is mapped, so that its current size is known."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        self._size = os.fstat(self._file.fileno()).st_size

    def check(self) -> None:
        """Raise InputError if the file is smaller than it was."""
        size = os.fstat(self._file.fileno()).st_size
        if size < self._size:
            raise InputError(
                self.path,
                f"truncated while it was in use ({size:,} of {self._size:,} bytes are left)",
                f"{AGAIN}, then rerun the command",
            )


@dataclass(frozen=True)
class PreparedDataset:
    """A prepared dataset, open for reading.

    Attributes:
        root: Its folder.
        info: Its description; the levels include label columns that were added.
        splits: Its splits, with the labels of every level.
        columns: The label columns that were added, by level.
    """

    root: Path
    info: DatasetInfo
    splits: dict[str, Split]
    columns: dict[str, LabelColumn] = field(default_factory=dict)

    def split(self, name: str) -> Split:
        """Return the split called `name`; raises InputError if there is none."""
        if name not in self.splits:
            raise InputError(self.root, f"no split {name}, only {', '.join(self.splits)}")
        return self.splits[name]

    @property
    def default_levels(self) -> list[str]:
        """The levels that are evaluated unless another is named: its own, and coarse and fine if they were added."""
        return [level for level in self.info.levels if level not in self.columns or level in ("coarse", "fine")]

    @property
    def own_info(self) -> DatasetInfo:
        """The description that was prepared, without label columns that were added."""
        levels = {level: classes for level, classes in self.info.levels.items() if level not in self.columns}
        return self.info.model_copy(update={"levels": levels})

    def with_levels(self, *levels: str) -> "PreparedDataset":
        """Return the dataset with its own levels and, of the label columns that were added, those in `levels`.

        A name with a version, such as `reviewed@3`, is the column as it was after that many changes.

        Raises:
            InputError: There is no such version.
        """
        columns = {level: column for level, column in self.columns.items() if level in levels}
        for level in levels:
            name, is_version, version = level.partition("@")
            if is_version and level not in columns:
                column = read_column(self.root, self.own_info, name, _number(level, version))
                columns |= {} if column is None else {level: column}
        return _with_columns(PreparedDataset(self.root, self.own_info, self.splits), columns)


def open_dataset(path: Path | str) -> PreparedDataset:
    """Open the prepared dataset in the folder `path`. Images are mapped or listed, not read.

    Raises:
        InputError: It is not a prepared dataset or of a newer format version, or its files are missing, truncated,
            outside the folder, or inconsistent with `dataset.json`.
    """
    root = recover_folder(path_on_disk(Path(path)))
    if not root.exists():
        raise InputError(root, "no such folder", "make a prepared dataset with `coarsecon prepare`")
    if not is_prepared(root):
        raise not_prepared(root)
    info = read_info(root / "dataset.json")
    dataset = PreparedDataset(root, info, {name: _open_split(root, name, info) for name in info.splits})
    return _with_columns(dataset, read_columns(root, info))


def _with_columns(dataset: PreparedDataset, columns: dict[str, LabelColumn]) -> PreparedDataset:
    """Return a dataset with label columns as further levels."""
    own = dataset.info.levels
    info = dataset.info.model_copy(update={"levels": {**own, **{name: each.classes for name, each in columns.items()}}})
    splits = {
        name: replace(split, labels={level: column for level, column in split.labels.items() if level in own}
                      | {level: column.labels[name] for level, column in columns.items()})
        for name, split in dataset.splits.items()
    }  # fmt: skip
    return PreparedDataset(dataset.root, info, splits, columns)


def _number(level: str, version: str) -> int:
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise InputError(level, "the part after @ is not the number of a version", "write it as NAME@3")
    return int(version)


def _open_split(root: Path, name: str, info: DatasetInfo) -> Split:
    count = info.splits[name].count
    file = root / f"{name}.safetensors"
    tensors = _map_tensors(file)
    images = tensors.pop("images", None)
    _check_images(file, images, info, count)
    _check_labels(file, tensors, info.levels, count)
    listing_file = root / f"{name}.files.json"
    listing = read_record(listing_file, SplitFiles)
    files = _inside(root, listing.files or []) if info.form == "files" else None
    names = listing.names or image_names(name, count)
    if len(names) != count or (files is not None and len(files) != count):
        raise InputError(listing_file, f"does not list {count} images", AGAIN)
    mapped = None if images is None else MappedFile(file)
    return Split(name, tensors, images, files, names, mapped, _read_groups(root / f"{name}.groups.json", count))


def image_names(split: str, count: int) -> list[str]:
    """Return names for the images of a split whose original names are not known."""
    return [f"{split}-{i:06d}" for i in range(count)]


def _read_groups(file: Path, count: int) -> list[str] | None:
    if not file.exists():
        return None
    groups = read_record(file, SplitGroups).groups
    if len(groups) != count:
        raise InputError(file, f"does not list the groups of {count} images", AGAIN)
    return groups


def _map_tensors(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file: images mapped, and therefore read on use, labels copied."""
    try:
        with safe_open(file, framework="pt") as mapped:
            tensors = {name: mapped.get_tensor(name) for name in mapped.keys()}  # noqa: SIM118
            return {name: value if name == "images" else value.clone() for name, value in tensors.items()}
    except (OSError, SafetensorError) as error:
        raise InputError(file, f"missing, truncated or broken ({error})", AGAIN) from error


def _check_images(file: Path, images: Tensor | None, info: DatasetInfo, count: int) -> None:
    shape = (count, 3, info.size, info.size)
    if info.form == "array" and (images is None or images.dtype != torch.uint8 or images.shape != shape):
        raise InputError(file, f"images is not a uint8 array {list(shape)}", AGAIN)
    if info.form == "files" and images is not None:
        raise InputError(file, "contains images, but dataset.json specifies files", AGAIN)


def _check_labels(file: Path, labels: dict[str, Tensor], levels: dict[str, list[str]], count: int) -> None:
    if labels.keys() != levels.keys():
        raise InputError(file, f"has the labels {', '.join(labels)}, not {', '.join(levels)}", AGAIN)
    for level, column in labels.items():
        if column.dtype != torch.int64 or column.shape != (count,):
            raise InputError(file, f"the {level} labels are not {count} int64 numbers", AGAIN)
        if column.min() < -1 or column.max() >= len(levels[level]):
            raise InputError(file, f"{level} labels outside -1 to {len(levels[level]) - 1}", AGAIN)


def _inside(root: Path, paths: list[str]) -> list[Path]:
    """Return the files at `paths` below `root`: regular files, in folders that do not lead out of it."""
    present: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in present:
            present[folder] = _regular_files(root, folder)
        if name not in present[folder]:
            raise InputError(root / path, "missing, or not a regular file", AGAIN)
    return [root / path for path in paths]


def _regular_files(root: Path, folder: str) -> set[str]:
    inside = (root / folder).resolve()
    if not inside.is_relative_to(root.resolve()):
        raise InputError(root, f"the listed folder {folder} leads out of the dataset", AGAIN)
    try:
        return {entry.name for entry in os.scandir(inside) if entry.is_file(follow_symlinks=False)}
    except OSError as error:
        raise InputError(inside, f"cannot be read ({error.strerror})", AGAIN) from error
