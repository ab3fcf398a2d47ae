"""Read the images of ILSVRC 2012 by class: from folders, or in place from the two published tar files."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np

from coarsecon.data.formats.image_formats import SUFFIXES
from coarsecon.data.formats.images import ImageFile
from coarsecon.data.formats.left_out import some
from coarsecon.data.formats.tars import stored_files
from coarsecon.data.formats.walk import visible_files
from coarsecon.data.sources import SourceData, SourceRequest, SplitData
from coarsecon.data.sources.ilsvrc_val import read_val_classes
from coarsecon.data.sources.labels import class_names, read_table
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter

CLASSES = 1000
TRAIN_TOTAL = 1_281_167
TRAIN_PER_CLASS = (732, 1300)
VAL_PER_CLASS = 50
SIZE = 224
PLACES = (".", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")
"""Folders below the source that may hold the images; the last two as the archives of the challenge unpack."""

READS = """\
Reads a folder with ILSVRC 2012 in any of its forms. Training images: train/WNID/*.JPEG, or ILSVRC2012_img_train.tar.
Validation images: val/WNID/*.JPEG; or val/*.JPEG or ILSVRC2012_img_val.tar with the classes in
ILSVRC2012_validation_ground_truth.txt, ILSVRC2012_devkit_t12.tar.gz, LOC_val_solution.csv or the XML annotations
(Annotations/CLS-LOC/val/ or ILSVRC2012_bbox_val_v3/val/). The tar files are read in place.
The validation images are the test split here."""
URL = "https://image-net.org/challenges/LSVRC/2012/"
TERMS = "Non-commercial research and education, after registration at image-net.org; the images are their owners'."
CITATION = "Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015."

Images = dict[str, list[ImageFile]]


class FineClass(NamedTuple):
    """A class of ILSVRC, its name in the dataset, and its coarse class."""

    wnid: str
    name: str
    coarse: int


class Part(NamedTuple):
    """Content of a split: the training or validation images of some classes of ILSVRC."""

    origin: Literal["train", "val"]
    wnids: Collection[str]


def label(wnid: str, words: str) -> str:
    """Return the name of a class: the first word of its synset, and its WNID, as two classes may share the word."""
    return f"{words.split(',')[0]} ({wnid})"


def ilsvrc_classes(wnids: Collection[str] | None = None) -> tuple[list[str], list[FineClass]]:
    """Return the names of the 12 coarse classes, and the fine classes (only `wnids`, if given) in ILSVRC's order."""
    rows = read_table("imagenet")
    fine = [
        FineClass(row["wnid"], label(row["wnid"], row["fine_name"]), int(row["coarse"]))
        for row in rows
        if wnids is None or row["wnid"] in wnids
    ]
    return class_names(rows), fine


def read_ilsvrc(
    request: SourceRequest,
    name: str,
    coarse_names: list[str],
    classes: Sequence[FineClass],
    parts: Mapping[str, Part],
    notes: str = "The test split is made of ILSVRC's validation images.",
) -> SourceData:
    """Return the splits `parts` of a dataset of `classes` of ILSVRC, with the image files below `request.source`.

    Raises:
        InputError: Images or annotations are missing, or the number of images differs from the published one.
    """
    if request.source is None or not request.source.is_dir():
        problem = "missing" if request.source is None else "no such folder"
        raise InputError(request.source or "source", problem, f"name the folder with ILSVRC 2012 (register at {URL})")
    wanted = {origin: {w for part in parts.values() if part.origin == origin for w in part.wnids} for origin in _FIND}
    found = {origin: find(request.source, wanted[origin], request.reporter) for origin, find in _FIND.items()}
    numbers = {fine.wnid: number for number, fine in enumerate(classes)}
    coarse = np.array([fine.coarse for fine in classes])
    splits = {}
    for split, part in parts.items():
        images = [(wnid, file) for wnid in sorted(part.wnids) for file in found[part.origin][wnid]]
        fine = np.array([numbers[wnid] for wnid, _ in images])
        names = [f"{wnid}/{_name(file)}" for wnid, file in images]
        splits[split] = SplitData({"coarse": coarse[fine], "fine": fine}, [file for _, file in images], names)
    levels = {"coarse": coarse_names, "fine": [fine.name for fine in classes]}
    return SourceData(name, request.size or SIZE, levels, splits, notes)


def _find_train(source: Path, wnids: Collection[str], reporter: Reporter) -> Images:
    place = _find(source, "train", "ILSVRC2012_img_train")
    images = _class_folders(place, wnids) if place.is_dir() else _class_tars(place, wnids, reporter)
    low, high = TRAIN_PER_CLASS
    _check_counts(place, images, low, high)
    total = sum(map(len, images.values()))
    if len(wnids) == CLASSES and total != TRAIN_TOTAL:
        raise InputError(place, f"{total:,} images, not the {TRAIN_TOTAL:,} of ILSVRC 2012", "unpack it again")
    return images


def _find_val(source: Path, wnids: Collection[str], reporter: Reporter) -> Images:
    place = _find(source, "val", "ILSVRC2012_img_val")
    if place.is_dir() and any((place / wnid).is_dir() for wnid in wnids):
        images = _class_folders(place, wnids)
    else:
        files: Iterable[ImageFile] = _image_files(place) if place.is_dir() else stored_files(place)
        by_name = {PurePosixPath(_name(file)).stem: file for file in files}
        if len(by_name) != CLASSES * VAL_PER_CLASS:
            raise InputError(place, f"{len(by_name):,} images, not {CLASSES * VAL_PER_CLASS:,}", "unpack it again")
        images = {wnid: [] for wnid in wnids}
        for name, wnid in read_val_classes(source, sorted(by_name)).items():
            if wnid in images:
                images[wnid].append(by_name[name])
    _check_counts(place, images, VAL_PER_CLASS, VAL_PER_CLASS)
    return images


_FIND = {"train": _find_train, "val": _find_val}


def _find(source: Path, folder: str, archive: str) -> Path:
    """Return the folder or tar file of the training or validation images."""
    for place in PLACES:
        for path in (source / place / folder, source / place / archive):
            if path.is_dir() and any(_is_content(entry) for entry in path.iterdir()):
                return path
        if (source / place / f"{archive}.tar").is_file():
            return source / place / f"{archive}.tar"
    if packed := next(source.glob(f"{archive}.tar.*"), None):
        raise InputError(packed, "compressed archives are not read", f"unpack it to {archive}.tar")
    raise InputError(source, f"contains neither the folder {folder} nor {archive}.tar", f"get them from {URL}")


def _is_content(entry: Path) -> bool:
    """Return whether it is an image or a class folder; a folder `val` may also hold only annotations."""
    return entry.name.lower().endswith(SUFFIXES) or entry.is_dir()


def _class_folders(place: Path, wnids: Collection[str]) -> Images:
    missing = sorted(wnid for wnid in wnids if not (place / wnid).is_dir())
    if missing:
        raise InputError(place, f"{some(missing)} missing of {len(wnids)} class folders", "unpack them there")
    return {wnid: [*_image_files(place / wnid)] for wnid in wnids}


def _image_files(folder: Path) -> list[Path]:
    return [file for file in visible_files(folder) if file.name.lower().endswith(SUFFIXES)]


def _class_tars(archive: Path, wnids: Collection[str], reporter: Reporter) -> Images:
    """Return the images in the tar files of the training archive, one file per class."""
    tars = {PurePosixPath(member.name).stem: member for member in stored_files(archive)}
    missing = sorted(set(wnids) - tars.keys())
    if missing:
        raise InputError(archive, f"{some(missing)} missing of {len(wnids)} classes", "download it again")
    images: Images = {}
    with reporter.progress(f"indexing {archive.name}", len(wnids), unit="classes") as progress:
        for wnid in sorted(wnids):
            images[wnid] = [*sorted(stored_files(tars[wnid]), key=str)]
            progress.advance()
    return images


def _check_counts(place: Path, images: Images, low: int, high: int) -> None:
    for wnid, files in sorted(images.items()):
        if not low <= len(files) <= high:
            expected = str(low) if low == high else f"{low} to {high}"
            raise InputError(place, f"{len(files)} images of {wnid}, not {expected}", "unpack them again")


def _name(file: ImageFile) -> str:
    assert not isinstance(file, bytes)
    return PurePosixPath(file.name).name
