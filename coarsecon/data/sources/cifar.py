"""Read and verify the Python files of the CIFAR datasets."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from coarsecon.data.formats.archives import read_files
from coarsecon.data.formats.pickles import as_array, as_text, load_dict
from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest, SplitData
from coarsecon.data.sources.originals import Originals, check_size, find_originals
from coarsecon.errors import InputError

SIZE = 32
AGAIN = "download the files again, or set download"


class LevelKeys(NamedTuple):
    """Keys of a label level in the batches and in `meta`, and its number of classes."""

    labels: str
    names: str
    classes: int


@dataclass(frozen=True)
class CifarFiles:
    """Published Python files of one CIFAR dataset: batches and number of images per split, MD5 per file."""

    folder: str
    url: str
    md5: str
    meta: str
    batches: Mapping[str, tuple[str, ...]]
    counts: Mapping[str, int]
    levels: Mapping[str, LevelKeys]
    checksums: Mapping[str, str]


class Cifar(Source):
    """Read one of the CIFAR datasets."""

    default_size = SIZE
    url = "https://www.cs.toronto.edu/~kriz/cifar.html"
    terms = "The authors state no license; the images were collected from the web for research."
    citation = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009."

    def __init__(self, name: str, files: CifarFiles, about: str, disk: str) -> None:
        self.name, self.files, self.disk = name, files, disk
        archive = files.url.rpartition("/")[2]
        self.about = f"{about}\nReads the folder {files.folder} or {archive}, which can be downloaded."
        self.counts = files.counts
        self.levels = {level: keys.classes for level, keys in files.levels.items()}

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return uint8 images [N, 3, 32, 32] and labels, with a note on files that differ from the published ones."""
        check_size(request, SIZE)
        files = self.files
        archive = files.url.rpartition("/")[2]
        place = find_originals(Originals(files.folder, files.meta, (archive,), files.url, files.md5), request)
        content = read_files(place, [files.meta, *(name for names in files.batches.values() for name in names)])
        changed = [name for name, raw in content.items() if _md5(raw) != files.checksums[name]]
        levels = _read_meta(content[files.meta], files, f"{place}: {files.meta}")
        splits: dict[str, SplitData] = {}
        for split, names in files.batches.items():
            splits[split] = _join([_read_batch(content.pop(name), files, f"{place}: {name}") for name in names])
            count = len(splits[split].images)
            if count != files.counts[split]:
                raise InputError(place, f"{count} {split} images, not {files.counts[split]}", AGAIN)
        note = f"Not as published, by their MD5: {', '.join(changed)}." if changed else ""
        return SourceData(self.name, SIZE, levels, splits, note)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _read_meta(content: bytes, files: CifarFiles, where: str) -> dict[str, list[str]]:
    meta = load_dict(content, where)
    levels = {}
    for level, keys in files.levels.items():
        names = meta.get(keys.names)
        if not isinstance(names, list) or len(names) != keys.classes:
            raise InputError(where, f"{keys.names} is not a list of {keys.classes} names", AGAIN)
        levels[level] = [as_text(name) for name in names]
    return levels


def _read_batch(content: bytes, files: CifarFiles, where: str) -> SplitData:
    batch = load_dict(content, where)
    images = as_array(batch.get("data"))
    if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3 * SIZE * SIZE:
        raise InputError(where, f"data is not a uint8 array [N, {3 * SIZE * SIZE}]", AGAIN)
    labels = {
        level: _read_labels(batch.get(keys.labels), len(images), keys, where) for level, keys in files.levels.items()
    }
    names = batch.get("filenames", [])
    return SplitData(labels, images.reshape(-1, 3, SIZE, SIZE), [as_text(name) for name in names])


def _read_labels(values: Any, count: int, keys: LevelKeys, where: str) -> np.ndarray:
    labels = as_array(values)
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise InputError(where, f"{keys.labels} is not a list of {count} numbers", AGAIN)
    if count and not 0 <= labels.min() <= labels.max() < keys.classes:
        raise InputError(where, f"{keys.labels} go beyond 0 to {keys.classes - 1}", AGAIN)
    return labels.astype(np.int64)


def _join(batches: list[SplitData]) -> SplitData:
    levels = batches[0].labels
    labels = {level: np.concatenate([batch.labels[level] for batch in batches]) for level in levels}
    images = np.concatenate([np.asarray(batch.images) for batch in batches])
    names = [name for batch in batches for name in batch.names or []]
    return SplitData(labels, images, names if len(names) == len(images) else None)
