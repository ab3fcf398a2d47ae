"""From a source's original files to the prepared form, written as a whole or not at all."""

from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from safetensors import SafetensorError

from coarsecon.data.prepare.preparation import Preparation, Writing
from coarsecon.data.prepared.store import PreparedDataset, is_prepared, open_dataset, other_files
from coarsecon.data.sources import Source, SourceData, SourceRequest, check_request
from coarsecon.errors import CoarseconError, InputError
from coarsecon.runtime.files import recover_folder, resumable_folder, several
from coarsecon.runtime.progress import Reporter


def prepare_dataset(
    source: Source,
    request: SourceRequest,
    out: Path | str,
    *,
    overwrite: bool = False,
    writing: Writing = Writing(),
) -> PreparedDataset:
    """Read `source` and write it to the folder `out`; raises as `source.read` and `write_dataset` do."""
    check_request(source, request)
    check_output(Path(out), overwrite=overwrite)
    data = source.read(request)
    return write_dataset(
        out, data, overwrite=overwrite, writing=writing, workers=request.workers, reporter=request.reporter
    )


def check_output(out: Path, *, overwrite: bool) -> None:
    """Raise InputError where a dataset must not be written.

    `overwrite` allows replacing a prepared one that holds nothing else.
    """
    out = recover_folder(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise InputError(f"{out} exists already; choose another --out, or replace it with --overwrite")
    if not is_prepared(out):
        raise InputError(f"{out} is not a prepared dataset, so --overwrite leaves it alone; choose another --out")
    others = other_files(out)
    if others:
        raise InputError(
            f"{out} also holds files that are not of the dataset ({several(others)}); move them away, or choose "
            "another --out"
        )


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

    `workers` processes convert image files; their number does not change the result. When it is killed, or
    stopped after many images were converted, the next call goes on from there.

    Raises:
        InputError: `out` is taken (see `check_output`), or images cannot be read.
        CoarseconError: the disk refuses, or a worker process dies.
    """
    check_output(Path(out), overwrite=overwrite)
    work = Preparation(data, writing, workers, reporter or Reporter())
    try:
        with resumable_folder(Path(out).resolve(), keep=work.is_kept) as folder:
            work.write(folder)
            open_dataset(folder)  # refuses what a source gave in the wrong shape before it takes its place
            check_output(Path(out), overwrite=overwrite)  # it may have been written meanwhile
    except (OSError, SafetensorError) as error:
        raise CoarseconError(f"{out}: the dataset cannot be written ({error})") from error
    except BrokenProcessPool as error:
        raise CoarseconError(f"{out}: a worker ended, perhaps for lack of memory; use fewer --workers") from error
    return open_dataset(out)
