"""From a source's original files to the prepared form, written as a whole or not at all."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from coarsecon.data.array_file import ArrayWriter
from coarsecon.data.convert import ARRAY_MAX_SIZE, Jpeg, histogram, jpegs, mean_and_std, squares
from coarsecon.data.schema import DatasetInfo, Form, SplitFiles, SplitInfo, write_record
from coarsecon.data.sources import Chunked, ImageFile, Source, SourceData, SourceRequest, SplitData
from coarsecon.data.store import PreparedDataset, is_prepared, open_dataset
from coarsecon.errors import CoarseconError, InputError
from coarsecon.files import atomic_folder
from coarsecon.reporting import Progress, Reporter

PIECE = 4096
"""Images of an array that are written at once."""


def prepare_dataset(
    source: Source, request: SourceRequest, out: Path | str, *, overwrite: bool = False
) -> PreparedDataset:
    """Read `source` and write it to the folder `out`; raises as `source.read` and `write_dataset` do."""
    check_output(Path(out), overwrite=overwrite)
    data = source.read(request)
    return write_dataset(out, data, overwrite=overwrite, workers=request.workers, reporter=request.reporter)


def check_output(out: Path, *, overwrite: bool) -> None:
    """Raise InputError where a dataset must not be written; `overwrite` allows replacing a prepared one."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise InputError(f"{out} exists already; choose another --out, or replace it with --overwrite")
    if not is_prepared(out):
        raise InputError(f"{out} is not a prepared dataset, so --overwrite leaves it alone; choose another --out")


def write_dataset(
    out: Path | str,
    data: SourceData,
    *,
    overwrite: bool = False,
    workers: int = 2,
    reporter: Reporter | None = None,
) -> PreparedDataset:
    """Write `data` to the folder `out`, and open it.

    Image files become one array of squares when `data.size` is at most 64, else JPEG copies whose shorter
    side is at most 8/7 of it. `workers` threads convert them; their number does not change the result.

    Raises:
        InputError: `out` is taken (see `check_output`), or an image cannot be read.
        CoarseconError: the disk refuses.
    """
    check_output(Path(out), overwrite=overwrite)
    try:
        with atomic_folder(Path(out).resolve()) as folder:
            _write(folder, data, workers, reporter or Reporter())
            open_dataset(folder)  # refuses what a source gave in the wrong shape before it takes its place
    except (OSError, SafetensorError) as error:
        raise CoarseconError(f"{out}: the dataset cannot be written ({error})") from error
    return open_dataset(out)


def _write(folder: Path, data: SourceData, workers: int, reporter: Reporter) -> None:
    splits, histograms = {}, {}
    form: Form = "array"
    for name, split in data.splits.items():
        count = len(split.images)
        digest = hashlib.sha256()
        with reporter.progress(f"writing {name}", count) as progress:
            if isinstance(split.images, np.ndarray | Chunked) or data.size <= ARRAY_MAX_SIZE:
                pieces = _counted(_arrays(split.images, data.size, workers), progress)
                histograms[name] = _write_array(folder / f"{name}.safetensors", split, pieces, digest)
                files = None
            else:
                form = "files"
                copies = _copies(split.images, data.size, workers, progress)
                files, histograms[name] = _write_files(folder, name, copies, digest)
                save_file(_columns(split), folder / f"{name}.safetensors")
        for level, column in _columns(split).items():
            digest.update(level.encode())
            digest.update(column.data)
        names = split.names or [f"{name}-{i:06d}" for i in range(count)]
        write_record(folder / f"{name}.files.json", SplitFiles(names=names, files=files))
        splits[name] = SplitInfo(count=count, checksum=digest.hexdigest())
    mean, std = mean_and_std(histograms["train"])
    info = DatasetInfo(
        name=data.name, size=data.size, form=form, splits=splits, levels=dict(data.levels),
        mean=mean, std=std, notes=data.notes,
    )  # fmt: skip
    write_record(folder / "dataset.json", info)


def _columns(split: SplitData) -> dict[str, np.ndarray]:
    return {level: np.ascontiguousarray(column, np.int64) for level, column in sorted(split.labels.items())}


def _arrays(images: np.ndarray | Chunked | Sequence[ImageFile], size: int, workers: int) -> Iterator[np.ndarray]:
    """The images in pieces uint8 [n, 3, S, S]."""
    if isinstance(images, Chunked):
        yield from images.pieces()
    elif isinstance(images, np.ndarray):
        yield from (images[start : start + PIECE] for start in range(0, len(images), PIECE))
    else:
        yield from (square[None] for square in squares(images, size, workers))


def _counted(pieces: Iterable[np.ndarray], progress: Progress) -> Iterator[np.ndarray]:
    for piece in pieces:
        yield piece
        progress.advance(len(piece))


def _copies(images: Sequence[ImageFile], size: int, workers: int, progress: Progress) -> Iterator[Jpeg]:
    for jpeg in jpegs(images, size, workers):
        yield jpeg
        progress.advance()


def _write_array(file: Path, split: SplitData, pieces: Iterable[np.ndarray], digest: Any) -> np.ndarray:
    """Write the images, then the labels; returns the `histogram` of the pixels."""
    counts = np.zeros((3, 256), np.int64)
    columns, count = _columns(split), len(split.images)
    writer: ArrayWriter | None = None
    for piece in pieces:
        side = piece.shape[-1]
        writer = writer or ArrayWriter(file, side, len(columns), count)
        if piece.dtype != np.uint8 or piece.shape[1:] != (3, writer.side, writer.side):
            expected = f"uint8 [N, 3, {writer.side}, {writer.side}]"
            raise InputError(f"{file.stem}: images are no {expected}, but {piece.dtype} {list(piece.shape)}")
        writer.append(piece)
        counts += histogram(piece)
        digest.update(np.ascontiguousarray(piece).data)
    if writer is None or writer.count != count:
        raise InputError(f"{file.stem}: {writer.count if writer else 0} images came, not {count}")
    writer.finish(columns)
    return counts


def _write_files(folder: Path, name: str, jpegs: Iterable[Jpeg], digest: Any) -> tuple[list[str], np.ndarray]:
    files = []
    counts = np.zeros((3, 256), np.int64)
    (folder / "images" / name).mkdir(parents=True)
    for i, jpeg in enumerate(jpegs):
        files.append(f"images/{name}/{i:06d}.jpg")
        (folder / files[-1]).write_bytes(jpeg.content)
        counts += jpeg.histogram
        digest.update(jpeg.content)
    return files, counts
