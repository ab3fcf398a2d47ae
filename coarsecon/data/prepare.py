"""From a source's original files to the prepared form, written as a whole or not at all."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from coarsecon.data.convert import ARRAY_MAX_SIZE, Jpeg, histogram, jpegs, mean_and_std, squares
from coarsecon.data.schema import DatasetInfo, Form, SplitFiles, SplitInfo, write_record
from coarsecon.data.sources import Source, SourceData, SourceRequest, SplitData
from coarsecon.data.store import PreparedDataset, is_prepared, open_dataset
from coarsecon.errors import CoarseconError, InputError
from coarsecon.files import atomic_folder
from coarsecon.reporting import Progress, Reporter

T = TypeVar("T")


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
        with reporter.progress(f"writing {name}", len(split.images)) as progress:
            images = _converted(split.images, data.size, workers, progress)
            splits[name], histograms[name] = _write_split(folder, name, split, images)
        if not isinstance(images, np.ndarray):
            form = "files"
    mean, std = mean_and_std(histograms["train"])
    info = DatasetInfo(
        name=data.name, size=data.size, form=form, splits=splits, levels=dict(data.levels),
        mean=mean, std=std, notes=data.notes,
    )  # fmt: skip
    write_record(folder / "dataset.json", info)


def _converted(
    images: np.ndarray | list[Path], size: int, workers: int, progress: Progress
) -> np.ndarray | Iterator[Jpeg]:
    """The images as they are kept: uint8 [N, 3, S, S], or one JPEG after the other."""
    if isinstance(images, np.ndarray):
        progress.advance(len(images))
        return np.ascontiguousarray(images)
    if size > ARRAY_MAX_SIZE:
        return _counted(jpegs(images, size, workers), progress)
    pixels = np.empty((len(images), 3, size, size), np.uint8)
    for i, square in enumerate(_counted(squares(images, size, workers), progress)):
        pixels[i] = square
    return pixels


def _counted(items: Iterable[T], progress: Progress) -> Iterator[T]:
    for item in items:
        yield item
        progress.advance()


def _write_split(
    folder: Path, name: str, split: SplitData, images: np.ndarray | Iterator[Jpeg]
) -> tuple[SplitInfo, np.ndarray]:
    """Write one split; returns what `dataset.json` says of it, and the `histogram` of its pixels."""
    tensors = {level: np.ascontiguousarray(column, np.int64) for level, column in sorted(split.labels.items())}
    digest = hashlib.sha256()
    for level, column in tensors.items():
        digest.update(level.encode())
        digest.update(column.data)
    files: list[str] | None = None
    if isinstance(images, np.ndarray):
        tensors["images"] = images
        counts = histogram(images)
        digest.update(images.data)
    else:
        files = []
        counts = np.zeros((3, 256), np.int64)
        (folder / "images" / name).mkdir(parents=True)
        for i, jpeg in enumerate(images):
            files.append(f"images/{name}/{i:06d}.jpg")
            (folder / files[-1]).write_bytes(jpeg.content)
            counts += jpeg.histogram
            digest.update(jpeg.content)
    save_file(tensors, folder / f"{name}.safetensors")
    count = len(split.images)
    names = split.names or [f"{name}-{i:06d}" for i in range(count)]
    write_record(folder / f"{name}.files.json", SplitFiles(names=names, files=files))
    return SplitInfo(count=count, checksum=digest.hexdigest()), counts
