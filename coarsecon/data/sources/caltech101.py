"""Caltech-101: 9,144 photos of 101 kinds of objects and of background, of various sizes."""

import hashlib
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from coarsecon.data.formats.archives import ZIP_ERRORS, below, hold, is_zip, list_files, opened_tar
from coarsecon.data.formats.images import ImageFile
from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest, SplitData
from coarsecon.data.sources.originals import Originals, find_originals
from coarsecon.errors import InputError

FOLDER = "101_ObjectCategories"
PACKED = f"{FOLDER}.tar.gz"
CLASSES = 102
TRAIN_PER_CLASS = 30
ORIGINALS = Originals(
    folder=FOLDER,
    marker="BACKGROUND_Google",
    archives=("caltech-101.zip", PACKED),
    url="https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
    md5="3138e1922a9193bfa496528edbbc45d0",
)


class Caltech101(Source):
    """Read Caltech-101."""

    name = "caltech101"
    about = """\
9,144 photos of about 300 x 200 px in 102 classes (fine labels only), including background. As usual, 30 images per
class are for training and the others for testing; the hash of their names decides which.
Reads the folder 101_ObjectCategories, its tar.gz or the published caltech-101.zip, which can be downloaded."""
    counts = {"train": 3_060, "test": 6_084}
    default_size = 224
    levels = {"fine": CLASSES}
    url = "https://data.caltech.edu/records/mzrjq-6wc02"
    terms = "Creative Commons Attribution 4.0; the photos belong to their authors."
    citation = (
        "Li, Fergus, Perona, Learning Generative Visual Models from Few Training Examples, CVPR 2004 workshop on "
        "Generative-Model Based Vision."
    )
    disk = "137 MB packed, 150 MB prepared at 224 px"

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return Caltech-101 with its classes as fine labels, sorted by name.

        No split was published. The 30 images of a class with the lowest SHA-256 of CLASS/NAME are for training:
        consecutive photos often show the same object, so the first 30 would be a biased sample.
        """
        place = find_originals(ORIGINALS, request)
        files = {path: file for path, file in _list(place).items() if path.endswith(".jpg") and path.count("/") == 1}
        by_class = defaultdict(list)
        for path in sorted(files):
            by_class[path.partition("/")[0]].append(path)
        if len(files) != sum(self.counts.values()) or len(by_class) != CLASSES:
            raise InputError(
                place,
                f"{len(files)} images of {len(by_class)} classes, not {sum(self.counts.values())} of "
                f"{CLASSES} (BACKGROUND_Google among them)",
                ORIGINALS.again,
            )
        names = sorted(by_class)
        train = {path for paths in by_class.values() for path in sorted(paths, key=_draw)[:TRAIN_PER_CLASS]}
        splits = {}
        for split in self.counts:
            paths = [path for name in names for path in by_class[name] if (path in train) == (split == "train")]
            fine = np.array([names.index(path.partition("/")[0]) for path in paths])
            splits[split] = SplitData({"fine": fine}, [files[path] for path in paths], paths)
        return SourceData(self.name, request.size or self.default_size, {"fine": names}, splits)


SOURCE = Caltech101()


def _draw(path: str) -> bytes:
    return hashlib.sha256(path.encode()).digest()


def _list(place: Path) -> dict[str, ImageFile]:
    """List the images of the folder or its tar archive; the published zip archive contains such a tar."""
    if not is_zip(place):
        return list_files(place, FOLDER)
    try:
        with zipfile.ZipFile(place) as zipped:
            inner = next((name for name in zipped.namelist() if name.endswith(f"/{PACKED}")), "")
            if not inner:
                return list_files(place, FOLDER)
            with zipped.open(inner) as stream, opened_tar(place, stream) as members:
                return below(place, FOLDER, hold(place, members))
    except ZIP_ERRORS as error:
        raise InputError(place, f"not a complete zip archive ({error})", ORIGINALS.again) from error
