"""Caltech-101: 9,144 photos of 101 kinds of things and of background, of various sizes."""

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
COUNTS = {"train": 3_060, "test": 6_084}
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
9,144 photos of some 300 x 200 px in 102 classes (fine labels only), background among them. 30 of each class are to
train, the others to test, as is usual; which 30 is drawn by the hash of their names.
Reads the folder 101_ObjectCategories, its tar.gz or the published caltech-101.zip; --download fetches the latter."""
    counts = COUNTS
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
        """Caltech-101 with its classes, sorted by name, as fine labels; 30 images of each are to train.

        No split was published. Ours takes for training those whose SHA-256 of CLASS/NAME comes first: neighbours in
        a folder are often photos of the same thing, so the first ones would make a poor choice.
        """
        place = find_originals(ORIGINALS, request)
        files = {path: file for path, file in _list(place).items() if path.endswith(".jpg") and path.count("/") == 1}
        by_class = defaultdict(list)
        for path in sorted(files):
            by_class[path.partition("/")[0]].append(path)
        if len(files) != sum(COUNTS.values()) or len(by_class) != CLASSES:
            raise InputError(
                place,
                f"{len(files)} images of {len(by_class)} classes, not {sum(COUNTS.values())} of "
                f"{CLASSES} (BACKGROUND_Google among them)",
                ORIGINALS.again,
            )
        names = sorted(by_class)
        train = {path for paths in by_class.values() for path in sorted(paths, key=_draw)[:TRAIN_PER_CLASS]}
        splits = {}
        for split in COUNTS:
            paths = [path for name in names for path in by_class[name] if (path in train) == (split == "train")]
            fine = np.array([names.index(path.partition("/")[0]) for path in paths])
            splits[split] = SplitData({"fine": fine}, [files[path] for path in paths], paths)
        return SourceData(self.name, request.size or self.default_size, {"fine": names}, splits)


SOURCE = Caltech101()


def _draw(path: str) -> bytes:
    return hashlib.sha256(path.encode()).digest()


def _list(place: Path) -> dict[str, ImageFile]:
    """The images of the folder or its tar; the published zip holds such a tar."""
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
        raise InputError(place, f"not a whole zip archive ({error})", ORIGINALS.again) from error
