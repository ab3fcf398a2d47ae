"""Open, download and write datasets of the Hugging Face library `datasets`, an optional package."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, overload

from PIL import Image

from coarsecon.data.formats.images import ImageFile
from coarsecon.errors import CoarseconError, InputError
from coarsecon.runtime.extras import require_extra
from coarsecon.runtime.folders import atomic_folder

if TYPE_CHECKING:
    from coarsecon.data.prepared.store import PreparedDataset, Split

SAVED = ("dataset_dict.json", "state.json")
"""Files that `save_to_disk` writes to a folder."""


def library() -> Any:
    """Import `datasets` without its progress bars; raises InputError where it is not installed."""
    datasets = require_extra("hf", "datasets", needed_by="a dataset of Hugging Face")
    datasets.disable_progress_bars()
    return datasets


def open_hub_dataset(source: Path, *, config: str | None, download: bool) -> dict[str, Any]:
    """Return the splits of a dataset of `save_to_disk`, of a folder of Parquet or image files, or of the hub.

    Raises:
        InputError: There is no such dataset, or it cannot be read.
    """
    hub = library()
    if not source.exists() and not download:
        raise InputError(source, "no such folder", "set download to get the dataset of this name from the hub")
    try:
        if any((source / name).is_file() for name in SAVED):
            found = hub.load_from_disk(str(source))
        else:
            found = hub.load_dataset(source.as_posix(), config)
    except Exception as error:  # the library raises various errors
        raise InputError(source, f"not a readable dataset ({_first_line(error)})") from error
    return dict(found) if isinstance(found, dict) else {"train": found}


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Report errors of the library on damaged rows as an InputError whose subject is `what`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            what, f"cannot be read ({_first_line(error)})", "save or download the dataset again"
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


class HubImages(Sequence[ImageFile]):
    """The encoded images of one column of a split, read on access.

    Raises InputError for an image outside `roots`: an untrusted table must not name the user's own files.
    """

    def __init__(self, split: Any, column: str, roots: Sequence[Path]) -> None:
        hub = library()
        self._rows = split.select_columns([column]).cast_column(column, hub.Image(decode=False))
        self._column, self._roots = column, [root.resolve() for root in roots]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> ImageFile: ...
    @overload
    def __getitem__(self, index: slice) -> list[ImageFile]: ...
    def __getitem__(self, index: int | slice) -> ImageFile | list[ImageFile]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        with reading(f"image {index} of the column {self._column}"):
            image = self._rows[index][self._column] or {}
            if image.get("bytes") is not None:
                return bytes(image["bytes"])
            path = Path(image.get("path") or "")
            if path.name and not any(path.resolve().is_relative_to(root) for root in self._roots):
                raise InputError(f"image {index} of the column {self._column}", f"{path} is outside the dataset")
            return path if path.name else b""  # b"": an empty cell counts as a broken image


def cache_folder() -> Path:
    """Return the folder of the library for downloaded files."""
    return Path(library().config.HF_DATASETS_CACHE).parent


def export(dataset: "PreparedDataset", out: Path) -> None:
    """Write a prepared dataset to the folder `out`, for `datasets.load_from_disk`.

    Its columns are `image`, one column of class labels per level (-1: unknown), and `name`. Arrays become PNG, files
    are kept byte for byte.

    Raises:
        InputError: `out` exists.
        CoarseconError: It cannot be written.
    """
    hub = library()
    if out.exists():
        raise InputError(out, "already exists", "choose another folder")
    levels = {level: hub.ClassLabel(names=unique(names)) for level, names in dataset.info.levels.items()}
    features = hub.Features({"image": hub.Image(), **levels, "name": hub.Value("string")})
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(out.resolve()) as folder, TemporaryDirectory(dir=folder) as cache:
            whole = hub.DatasetDict(
                {
                    name: hub.Dataset.from_generator(
                        _rows, features=features, cache_dir=cache, gen_kwargs={"split": split}, split=name
                    )
                    for name, split in dataset.splits.items()
                }
            )
            whole.save_to_disk(str(folder))
    except OSError as error:
        raise CoarseconError(out, f"cannot be written ({error})") from error
    except Exception as error:
        if isinstance(error.__cause__, OSError):  # the library wraps errors of its generator and of the disk
            raise CoarseconError(out, f"cannot be written ({error.__cause__})") from error
        raise


def _rows(split: "Split") -> Iterator[dict[str, Any]]:
    for i in range(len(split)):
        labels = {level: int(column[i]) for level, column in split.labels.items()}
        content = split.files[i].read_bytes() if split.files is not None else _png(split.image(i))
        yield {"image": {"bytes": content, "path": Path(split.names[i]).name}, **labels, "name": split.names[i]}


def unique(names: list[str]) -> list[str]:
    """Return unique class names, as class labels must be: a repeated name gets its index appended."""
    return [f"{name} ({i})" if name in names[:i] else name for i, name in enumerate(names)]


def _png(pixels: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()
