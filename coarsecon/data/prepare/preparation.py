"""Write one dataset to disk: split by split, with a report of broken images."""

import csv
import io
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from coarsecon.data.prepare.balance import balance
from coarsecon.data.prepare.journal import Journal, Pixels, write_arrays
from coarsecon.data.prepare.writers import ArrayWriter, CopyWriter, Writer
from coarsecon.data.prepared.convert import ARRAY_MAX_SIZE, SUFFIX, Conversion, CopyKind, mean_and_std, shorter_side
from coarsecon.data.prepared.folder import BROKEN, SPLIT_FILES
from coarsecon.data.prepared.hierarchy import find_hierarchy
from coarsecon.data.prepared.levels import hierarchy_notes
from coarsecon.data.prepared.schema import DatasetInfo, SplitFiles, SplitGroups, SplitInfo, write_record
from coarsecon.data.prepared.store import image_names
from coarsecon.data.sources import Chunked, Images, SourceData, SplitData
from coarsecon.errors import InputError
from coarsecon.runtime.folders import MARKER
from coarsecon.runtime.progress import Progress, Reporter

MIN_KEPT_IMAGES = 1000
"""Number of converted images from which they are kept for the next attempt if this one fails."""
MAX_REPORTED = 20
"""Number of broken images that are reported one by one."""


@dataclass(frozen=True)
class Writing:
    """Format of the written images.

    Attributes:
        resize_shorter: Write copies with a shorter side of at most this many pixels. None: squares in one array up to
            an image size of 64, and above it copies of 8/7 of the size.
        copies: File format of the copies; None: that of the source.
        skip_broken: Leave out images that cannot be read.
    """

    resize_shorter: int | None = None
    copies: CopyKind | None = None
    skip_broken: bool = False

    def conversion(self, data: SourceData) -> Conversion:
        """Return the conversion of image files; raises InputError if an option would have no effect."""
        if self.resize_shorter is None and data.size <= ARRAY_MAX_SIZE:
            if self.copies is not None:
                raise InputError(
                    "copies", f"images of up to {ARRAY_MAX_SIZE} px become one array", "set resize_shorter"
                )
            return Conversion("square", data.size)
        return Conversion(self.copies or data.copies, self.resize_shorter or shorter_side(data.size))


class BrokenImage(NamedTuple):
    """An image that cannot be read, and why: a row of `broken.csv`."""

    split: str
    name: str
    reason: str


class WrittenSplit(NamedTuple):
    """A written split: its record in `dataset.json`, the names of its images if known, its labels, whether its images
    are files, and their histogram."""

    info: SplitInfo
    names: list[str] | None
    labels: dict[str, np.ndarray]
    is_files: bool
    histogram: np.ndarray


class Preparation:
    """Writes `data` to a folder that may contain the partial result of an earlier attempt.

    Attributes:
        broken: Images that cannot be read.
        converted: Number of image files converted so far.
    """

    def __init__(self, data: SourceData, writing: Writing, workers: int, reporter: Reporter) -> None:
        self.data, self.writing, self.workers, self.reporter = data, writing, workers, reporter
        self.converted = 0
        self.broken: list[BrokenImage] = []

    def is_kept(self) -> bool:
        """Return whether the next attempt should resume from here, and report it."""
        is_kept = self.converted >= MIN_KEPT_IMAGES
        if is_kept:
            self.reporter.info(f"{self.converted:,} images are converted; rerun the command to resume")
        return is_kept

    def write(self, folder: Path) -> None:
        """Write the dataset.

        Raises:
            InputError: Images cannot be read and must not be skipped, or their shape or number differs from what the
                source announced.
        """
        splits = {name: self._write_split(folder, name, split) for name, split in self.data.splits.items()}
        self._report_broken()
        mean, std = mean_and_std(splits["train"].histogram)
        notes = [self.data.notes] if self.data.notes else []
        notes += ["All images are in the split train; there is no other."] * (splits.keys() == {"train"})
        notes += _divided_groups(self.data.splits)
        notes += balance(splits["train"].labels, self.data.levels).notes()
        notes += self._hierarchy_notes(splits)
        if self.broken:
            left_out = f"{len(self.broken):,} broken images were" if len(self.broken) > 1 else "1 broken image was"
            notes.append(f"{left_out} left out; {BROKEN} lists them.")
            (folder / BROKEN).write_text(_as_csv(self.broken), encoding="utf-8")
        info = DatasetInfo(
            name=self.data.name,
            size=self.data.size,
            form="files" if any(split.is_files for split in splits.values()) else "array",
            splits={name: split.info for name, split in splits.items()},
            levels=dict(self.data.levels),
            mean=mean,
            std=std,
        )
        info = info.model_copy(update={"notes": " ".join([*notes, *info.channel_notes])})
        write_record(folder / "dataset.json", info)
        self._remove_leftovers(folder, info)

    def _write_split(self, folder: Path, name: str, split: SplitData) -> WrittenSplit:
        count = len(split.images)
        columns = {level: np.ascontiguousarray(column, np.int64) for level, column in sorted(split.labels.items())}
        with closing(self._writer(folder, name, split, len(columns))) as writer:
            with self.reporter.progress(f"writing {name}", count) as progress:
                pixels = self._write_images(folder, name, split.images, writer, progress)
            self.broken += [
                BrokenImage(name, _name(split, i), f"{_place(split, i)}: {reason}")
                for i, reason in pixels.broken.items()
            ]
            kept = np.delete(np.arange(count), list(pixels.broken))
            if not len(kept):
                raise InputError(
                    self.data.name, f"none of the {count} {name} images can be read: {self.broken[-1].reason}"
                )
            columns = {level: column[kept] for level, column in columns.items()}
            writer.finish(columns)
        for level, column in columns.items():
            pixels.digest.update(level.encode())
            pixels.digest.update(column.data)
        record = SplitFiles(names=split.names and [split.names[i] for i in kept.tolist()], files=writer.files)
        write_record(folder / f"{name}.files.json", record)
        groups = folder / f"{name}.groups.json"
        groups.unlink(missing_ok=True)
        if split.groups is not None:
            write_record(groups, SplitGroups(groups=[split.groups[i] for i in kept.tolist()]))
        info = SplitInfo(count=len(kept), checksum=pixels.digest.hexdigest(), broken=len(pixels.broken))
        return WrittenSplit(info, record.names, columns, writer.files is not None, pixels.histogram)

    def _hierarchy_notes(self, splits: Mapping[str, WrittenSplit]) -> list[str]:
        """Describe the hierarchy of three levels or more, and images that contradict that of two."""
        columns = {level: torch.from_numpy(np.concatenate([split.labels[level] for split in splits.values()]))
                   for level in self.data.levels}  # fmt: skip
        if any(int(column.max()) >= len(self.data.levels[level]) for level, column in columns.items()):
            return []  # refused when the dataset is opened
        hierarchy = find_hierarchy(columns, {level: len(names) for level, names in self.data.levels.items()})
        names = [[f"{name}/{image}" for image in split.names or image_names(name, split.info.count)]
                 for name, split in splits.items()]  # fmt: skip
        return hierarchy_notes(hierarchy, columns, self.data.levels, list(chain.from_iterable(names)),
                               only_contradictions=len(columns) < 3)  # fmt: skip

    def _writer(self, folder: Path, name: str, split: SplitData, levels: int) -> Writer:
        conversion = self.writing.conversion(self.data)
        is_array = isinstance(split.images, np.ndarray | Chunked)
        if is_array and self.writing != Writing(skip_broken=self.writing.skip_broken):
            raise InputError(self.data.name, "its images are one array", "omit resize_shorter and copies")
        if is_array or conversion.kind == "square":
            return ArrayWriter(folder / f"{name}.safetensors", self.data.size, levels, len(split.images))
        return CopyWriter(folder, name, SUFFIX[conversion.kind])

    def _write_images(self, folder: Path, name: str, images: Images, writer: Writer, progress: Progress) -> Pixels:
        if isinstance(images, np.ndarray | Chunked):
            assert isinstance(writer, ArrayWriter)
            return write_arrays(name, images, writer, progress.advance)

        def advance(count: int) -> None:
            self.converted += count
            progress.advance(count)

        journal = Journal(folder / f"{name}.journal", images, self.writing.conversion(self.data), writer)
        return journal.convert(self.workers, advance)

    def _report_broken(self) -> None:
        """Report the images that cannot be read, and raise InputError unless they are skipped."""
        for image in self.broken[:MAX_REPORTED]:
            self.reporter.info(f"{image.split}: {image.reason}")
        if len(self.broken) > MAX_REPORTED:
            self.reporter.info(f"and {len(self.broken) - MAX_REPORTED:,} more")
        if self.broken and not self.writing.skip_broken:
            first, count = self.broken[0].reason, len(self.broken)
            problem = f"{count:,} image{'s' * (count > 1)} cannot be read, the first: {first}"
            raise InputError(self.data.name, problem, "set skip_broken to leave out broken images")

    def _remove_leftovers(self, folder: Path, info: DatasetInfo) -> None:
        """Remove the journals, and the files of an earlier attempt at something else."""
        wanted = {"dataset.json", MARKER, *(BROKEN,) * bool(self.broken), *("images",) * (info.form == "files")}
        wanted |= {f"{name}{suffix}" for name in info.splits for suffix in SPLIT_FILES}
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink() and path.name not in wanted:
                shutil.rmtree(path)
            elif path.name not in wanted:
                path.unlink()
        for path in (folder / "images").glob("*"):
            if path.name not in info.splits:
                shutil.rmtree(path)


def _divided_groups(splits: Mapping[str, SplitData]) -> list[str]:
    """Return a sentence on the groups with images in several splits, which leak from one to the other."""
    found = Counter(group for split in splits.values() for group in set(split.groups or ()) - {""})
    divided = sum(count > 1 for count in found.values())
    if not divided:
        return []
    return [f"{divided:,} group{'s have' if divided > 1 else ' has'} images in several splits (leakage)."]


def _name(split: SplitData, i: int) -> str:
    """Return the name of image `i`, or where it is."""
    return split.names[i] if split.names else _place(split, i)


def _place(split: SplitData, i: int) -> str:
    """Return the place of image `i`: its file, else its name or number."""
    file = split.images[i] if not isinstance(split.images, Chunked) else b""
    if not isinstance(file, bytes | np.ndarray):
        return str(file)
    return split.names[i] if split.names else f"image {i}"


def _as_csv(rows: Sequence[BrokenImage]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(BrokenImage._fields)
    writer.writerows(rows)
    return out.getvalue()
