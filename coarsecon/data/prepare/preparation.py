"""One dataset on its way to disk: its splits are written one by one, and broken images told."""

import csv
import io
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from coarsecon.data.prepare.balance import balance
from coarsecon.data.prepare.journal import Journal, Pixels, write_arrays
from coarsecon.data.prepare.writers import ArrayWriter, CopyWriter, Writer
from coarsecon.data.prepared.convert import ARRAY_MAX_SIZE, SUFFIX, Conversion, CopyKind, mean_and_std, shorter_side
from coarsecon.data.prepared.schema import DatasetInfo, SplitFiles, SplitInfo, write_record
from coarsecon.data.prepared.store import BROKEN
from coarsecon.data.sources import Chunked, Images, SourceData, SplitData
from coarsecon.errors import InputError
from coarsecon.runtime.files import MARKER
from coarsecon.runtime.progress import Progress, Reporter

WORTH_KEEPING = 1000
"""Converted images that are kept for the next attempt when this one fails."""
TOLD = 20
"""Most broken images that are told one by one."""


@dataclass(frozen=True)
class Writing:
    """How image files are written.

    `resize_shorter` asks for copies with a shorter side of at most that many px (None: squares in one array up
    to a size of 64, and above it copies of 8/7 of the size), `copies` for their kind (None: the source's own);
    `skip_broken` leaves out images that cannot be read.
    """

    resize_shorter: int | None = None
    copies: CopyKind | None = None
    skip_broken: bool = False

    def conversion(self, data: SourceData) -> Conversion:
        """What becomes of an image file; raises InputError where what is asked for has no effect."""
        if self.resize_shorter is None and data.size <= ARRAY_MAX_SIZE:
            if self.copies is not None:
                raise InputError(
                    "--copies", f"up to {ARRAY_MAX_SIZE} px images become one array", "add --resize-shorter"
                )
            return Conversion("square", data.size)
        return Conversion(self.copies or data.copies, self.resize_shorter or shorter_side(data.size))


class BrokenImage(NamedTuple):
    """An image that cannot be read: its split, what it was called, and what is wrong with it."""

    split: str
    name: str
    reason: str


class WrittenSplit(NamedTuple):
    """What `dataset.json` says of a split, its labels, whether its images are files, and their histogram."""

    info: SplitInfo
    labels: dict[str, np.ndarray]
    is_files: bool
    histogram: np.ndarray


class Preparation:
    """Writes `data` to a folder that may hold what an earlier attempt left.

    `broken` gathers the images that cannot be read, `converted` counts the image files done.
    """

    def __init__(self, data: SourceData, writing: Writing, workers: int, reporter: Reporter) -> None:
        self.data, self.writing, self.workers, self.reporter = data, writing, workers, reporter
        self.converted = 0
        self.broken: list[BrokenImage] = []

    def is_kept(self) -> bool:
        """Whether so much is converted that the next attempt should go on from here; if so it is said."""
        is_much = self.converted >= WORTH_KEEPING
        if is_much:
            self.reporter.info(f"{self.converted:,} images are converted; the same command goes on from there")
        return is_much

    def write(self, folder: Path) -> None:
        """Write the dataset.

        Raises:
            InputError: images cannot be read and are not to be skipped, or a source's images are of another shape
                or number than it said.
        """
        splits = {name: self._write_split(folder, name, split) for name, split in self.data.splits.items()}
        self._tell_broken()
        mean, std = mean_and_std(splits["train"].histogram)
        notes = [self.data.notes] if self.data.notes else []
        notes += balance(splits["train"].labels, self.data.levels).notes()
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
                BrokenImage(name, _name(split, i), reason.replace("the image:", f"{_name(split, i)}:", 1))
                for i, reason in pixels.broken.items()
            ]
            kept = np.delete(np.arange(count), list(pixels.broken))
            if not len(kept):
                raise InputError(f"none of the {count} {name} images can be read", self.broken[-1].reason)
            columns = {level: column[kept] for level, column in columns.items()}
            writer.finish(columns)
        for level, column in columns.items():
            pixels.digest.update(level.encode())
            pixels.digest.update(column.data)
        record = SplitFiles(names=split.names and [split.names[i] for i in kept.tolist()], files=writer.files)
        write_record(folder / f"{name}.files.json", record)
        info = SplitInfo(count=len(kept), checksum=pixels.digest.hexdigest(), broken=len(pixels.broken))
        return WrittenSplit(info, columns, writer.files is not None, pixels.histogram)

    def _writer(self, folder: Path, name: str, split: SplitData, levels: int) -> Writer:
        conversion = self.writing.conversion(self.data)
        is_array = isinstance(split.images, np.ndarray | Chunked)
        if is_array and self.writing != Writing(skip_broken=self.writing.skip_broken):
            raise InputError(self.data.name, "its images are one array", "leave out --resize-shorter and --copies")
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

    def _tell_broken(self) -> None:
        """Say which images cannot be read, and raise InputError unless they are to be skipped."""
        for image in self.broken[:TOLD]:
            self.reporter.info(f"{image.split}: {image.reason}")
        if len(self.broken) > TOLD:
            self.reporter.info(f"and {len(self.broken) - TOLD:,} more")
        if self.broken and not self.writing.skip_broken:
            first, count = self.broken[0].reason, len(self.broken)
            told = first if count == 1 else f"{count:,} images cannot be read, the first: {first}"
            raise InputError(f"{told}; --skip-broken leaves broken images out")

    def _remove_leftovers(self, folder: Path, info: DatasetInfo) -> None:
        """Remove the journals, and what an earlier attempt at something else left."""
        wanted = {"dataset.json", MARKER, *(BROKEN,) * bool(self.broken), *("images",) * (info.form == "files")}
        wanted |= {f"{name}{suffix}" for name in info.splits for suffix in (".safetensors", ".files.json")}
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink() and path.name not in wanted:
                shutil.rmtree(path)
            elif path.name not in wanted:
                path.unlink()
        for path in (folder / "images").glob("*"):
            if path.name not in info.splits:
                shutil.rmtree(path)


def _name(split: SplitData, i: int) -> str:
    """What image `i` was called, as well as is known."""
    if split.names:
        return split.names[i]
    file = split.images[i] if not isinstance(split.images, Chunked) else b""
    return f"image {i}" if isinstance(file, bytes | np.ndarray) else str(file)


def _as_csv(rows: Sequence[BrokenImage]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(BrokenImage._fields)
    writer.writerows(rows)
    return out.getvalue()
