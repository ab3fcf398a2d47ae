"""Convert original files to the prepared form, atomically."""

from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from coarsecon.data.prepare.excluding import exclude_images, read_exclusions
from coarsecon.data.prepare.preparation import Preparation, Writing
from coarsecon.data.prepare.splitting import parse_fractions, split_train
from coarsecon.data.prepared.convert import CopyKind
from coarsecon.data.prepared.folder import is_prepared, other_files
from coarsecon.data.prepared.store import PreparedDataset, open_dataset
from coarsecon.data.sources import Source, SourceData, SourceRequest, find_source
from coarsecon.errors import CoarseconError, InputError
from coarsecon.runtime.files import several
from coarsecon.runtime.folders import recover_folder, resumable_folder
from coarsecon.runtime.progress import Reporter
from coarsecon.runtime.settings import validate


def prepare_dataset(
    name: str | Source,
    out: Path | str,
    *,
    source: Path | str | None = None,
    size: int | None = None,
    split: str | Mapping[str, float] | None = None,
    split_seed: int = 0,
    exclude: Path | str | None = None,
    download: bool = False,
    resize_shorter: int | None = None,
    copies: CopyKind | None = None,
    skip_broken: bool = False,
    overwrite: bool = False,
    workers: int = 2,
    reporter: Reporter | None = None,
    **options: Any,
) -> PreparedDataset:
    """Read a dataset from its original files and write it in the prepared form.

    Args:
        name: Name of an installed source, or a source.
        out: Folder to write.
        source: Folder or archive of the original files.
        size: Image size in pixels that the encoder will see; None: the default of the source.
        split: Fractions of the train images to hold out, {"test": 0.2, "val": 0.1} or "test=0.2,val=0.1"; see
            `coarsecon.data.prepare.splitting.split_train`. None: the splits of the source.
        split_seed: Seed of these splits.
        exclude: Table of images to leave out, as `coarsecon data audit` writes it: a column of paths, optionally of
            splits, and of proposals, of which only "exclude" counts. Splits are made before, and stay as they were.
        download: Download the original files if they are missing.
        resize_shorter: Write copies with a shorter side of at most this many pixels.
        copies: File format of the copies; None: that of the source.
        skip_broken: Leave out images that cannot be read.
        overwrite: Replace a prepared dataset at `out`.
        workers: Number of processes that convert images; it does not change the result.
        reporter: Receives messages and progress.
        **options: Options of the source, the fields of its `Config`.

    Raises:
        InputError: There is no such source, an option is invalid, the original files are missing or damaged, or the
            images cannot be split as requested.
        CoarseconError: It cannot be written, or a worker process dies.

    Example:
        >>> coarsecon.prepare("folder", "data/birds", source="photos", split={"test": 0.2})  # doctest: +SKIP
    """
    reader = find_source(name) if isinstance(name, str) else name
    config = validate(reader.Config, options)
    fractions = None if split is None else parse_fractions(split)
    exclusions = None if exclude is None else read_exclusions(Path(exclude))
    check_output(Path(out), overwrite=overwrite)
    reporter = reporter or Reporter()
    request = SourceRequest(None if source is None else Path(source), size, download, workers, reporter)
    writing = Writing(resize_shorter, copies, skip_broken)
    data = reader.read(request, config)
    if fractions is not None:
        data = split_train(data, fractions, seed=split_seed, workers=workers, reporter=reporter)
    if exclusions is not None:
        data = exclude_images(data, exclusions, reporter)
    return write_dataset(out, data, overwrite=overwrite, writing=writing, workers=workers, reporter=reporter)


def check_output(out: Path, *, overwrite: bool) -> None:
    """Raise InputError if a dataset must not be written to `out`.

    `overwrite` allows replacing a prepared dataset without other files.
    """
    out = recover_folder(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise InputError(out, "already exists", "choose another folder, or set overwrite to replace it")
    if not is_prepared(out):
        raise InputError(out, "not a prepared dataset, so it is not replaced", "choose another folder")
    others = other_files(out)
    if others:
        problem = f"also contains files that do not belong to the dataset ({several(others)})"
        raise InputError(out, problem, "move them away, or choose another folder")


def write_dataset(
    out: Path | str,
    data: SourceData,
    *,
    overwrite: bool = False,
    writing: Writing = Writing(),
    workers: int = 2,
    reporter: Reporter | None = None,
) -> PreparedDataset:
    """Write `data` to the folder `out`, and open it.

    `workers` processes convert image files; their number does not change the result. If the process is killed, or
    stopped after many images were converted, the next call resumes.

    Raises:
        InputError: `out` is taken (see `check_output`), or images cannot be read.
        CoarseconError: It cannot be written, or a worker process dies.
    """
    check_output(Path(out), overwrite=overwrite)
    work = Preparation(data, writing, workers, reporter or Reporter())
    try:
        with resumable_folder(Path(out).resolve(), keep=work.is_kept) as folder:
            work.write(folder)
            open_dataset(folder)  # refuses data of the wrong shape before the folder takes its place
            check_output(Path(out), overwrite=overwrite)  # it may have been written meanwhile
    except (OSError, SafetensorError) as error:
        raise CoarseconError(out, f"the dataset cannot be written ({error})") from error
    except BrokenProcessPool as error:
        raise CoarseconError(out, "a worker process died, perhaps for lack of memory", "use fewer workers") from error
    return open_dataset(out)
