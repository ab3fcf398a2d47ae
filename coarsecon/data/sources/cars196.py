"""Stanford Cars: photos of 196 models (fine) of 8 body types (coarse)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from coarsecon.data.formats.archives import list_files
from coarsecon.data.formats.image_formats import SUFFIXES
from coarsecon.data.formats.mat import integers, load_mat
from coarsecon.data.formats.names import canonical
from coarsecon.data.sources import Source, SourceConfig, SourceData, SourceRequest, SplitData
from coarsecon.data.sources.labels import class_names, read_table
from coarsecon.errors import InputError

HOME = "https://ai.stanford.edu/~jkrause/cars/car_dataset.html"
FORMS = """\
cars_train/ and cars_test/ with the devkit's .mat files, car_ims/ with cars_annos.mat,
or train/ and test/ with one folder per class"""
BY_HAND = (
    f"the dataset's page ({HOME}) offers no files any more; get cars_train.tgz, cars_test.tgz, "
    "car_devkit.tgz and cars_test_annos_withlabels.mat, or the photos in one folder per class, elsewhere "
    "and unpack them"
)
NESTED = ("", "stanford_cars", "cars196", "car_data", "car_data/car_data")
DEVKITS = ("devkit", "car_devkit/devkit", "")


class Photo(NamedTuple):
    """A photo: its path below the source, and its fine class."""

    path: str
    fine: int


class Cars196(Source):
    """Read Stanford Cars."""

    name = "cars196"
    about = f"Photos of 196 models of cars (fine) of 8 body types (coarse).\nReads {FORMS}."
    counts = {"train": 8_144, "test": 8_041}
    default_size = 224
    levels = {"coarse": 8, "fine": 196}
    url = HOME
    terms = "The authors state no license; the photos were collected from the web for research."
    citation = (
        "Krause, Stark, Deng, Fei-Fei, 3D Object Representations for Fine-Grained Categorization, 3dRR 2013. "
        "The body types: Feng & Patras, MaskCon, CVPR 2023."
    )
    disk = "2 GB unpacked, about 0.5 GB prepared at 224 px"

    def read(self, request: SourceRequest, config: SourceConfig) -> SourceData:
        """Return the photos in the splits of the devkit; body types come from the label table `cars196`."""
        rows = read_table("cars196")
        root = _find(request)
        names = [row["fine_name"] for row in rows]
        if (root / "cars_train").is_dir():
            photos = _read_devkit(root, names)
        elif (root / "car_ims").is_dir():
            photos = _read_joint(root, names)
        else:
            photos = {split: _read_folders(root, split, names) for split in self.counts}
        coarse_of = np.array([int(row["coarse"]) for row in rows])
        splits = {}
        for split, count in self.counts.items():
            if len(photos[split]) != count:
                raise InputError(root, f"{len(photos[split])} {split} photos, not {count}", "download the files again")
            fine = np.array([photo.fine for photo in photos[split]])
            splits[split] = SplitData(
                {"coarse": coarse_of[fine], "fine": fine},
                [root / photo.path for photo in photos[split]],
                [photo.path for photo in photos[split]],
            )
        levels = {"coarse": class_names(rows), "fine": names}
        return SourceData(self.name, request.size or self.default_size, levels, splits)


SOURCE = Cars196()


def _find(request: SourceRequest) -> Path:
    if request.source is None or request.download:
        raise InputError(*(("download", "there is no link") if request.download else ("source", "missing")), BY_HAND)
    for nested in NESTED:
        root = request.source / nested
        if any((root / name).is_dir() for name in ("cars_train", "car_ims", "train")):
            return root
    raise InputError(request.source, f"does not contain {' '.join(FORMS.split())}")


def _read_devkit(root: Path, names: list[str]) -> dict[str, list[Photo]]:
    meta = _find_mat(root, "cars_meta.mat")
    if meta is not None:
        _check_names(load_mat(meta, "class_names")[0], names, meta)
    photos = {}
    for split, files in (
        ("train", ("cars_train_annos.mat",)),
        ("test", ("cars_test_annos_withlabels.mat", "cars_test_annos.mat")),
    ):
        file = _find_mat(root, *files)
        if file is None:
            raise InputError(root, f"{files[0]} missing", f"put it there or into {root / 'devkit'}")
        annotations = _annotations(file)
        if "class" not in annotations:
            raise InputError(file, "no labels", "add cars_test_annos_withlabels.mat, which has them")
        photos[split] = _photos(root, f"cars_{split}", annotations, "fname", file)
    return photos


def _read_joint(root: Path, names: list[str]) -> dict[str, list[Photo]]:
    file = _find_mat(root, "cars_annos.mat")
    if file is None:
        raise InputError(root, "cars_annos.mat is missing next to car_ims", "put it there")
    _check_names(load_mat(file, "class_names")[0], names, file)
    annotations = _annotations(file)
    is_test = integers(annotations.get("test"), f"{file}: test")
    photos = _photos(root, "car_ims", annotations, "relative_im_path", file)
    return {
        split: [photo for photo, test in zip(photos, is_test, strict=True) if test == number]
        for number, split in enumerate(("train", "test"))
    }


def _find_mat(root: Path, *names: str) -> Path | None:
    places = [root / devkit / name for name in names for devkit in DEVKITS]
    return next((place for place in places if place.is_file()), None)


def _annotations(file: Path) -> Mapping[str, list[Any]]:
    (annotations,) = load_mat(file, "annotations", fields=("class", "fname", "relative_im_path", "test"))
    if not isinstance(annotations, dict):
        raise InputError(file, "annotations is not a struct array", "download the file again")
    return annotations


def _check_names(found: Any, names: list[str], file: Path) -> None:
    if [name for name in found if isinstance(name, str)] != names:
        raise InputError(file, "class_names differ from those of Stanford Cars", "download the file again")


def _photos(root: Path, folder: str, annotations: Mapping[str, list[Any]], column: str, file: Path) -> list[Photo]:
    """Return the annotated photos, each of which must be in `folder`."""
    fine = integers(annotations.get("class"), f"{file}: class") - 1
    if len(fine) and not 0 <= fine.min() <= fine.max() < 196:
        raise InputError(file, "class goes beyond 1 to 196", "download the file again")
    present = list_files(root / folder, folder)
    photos = []
    for name, number in zip(annotations.get(column, [""] * len(fine)), fine.tolist(), strict=True):
        plain = name.removeprefix(f"{folder}/") if isinstance(name, str) else ""
        if plain not in present:
            raise InputError(file, f"the photo {name!a} is not in {root / folder}", "unpack the photos again")
        photos.append(Photo(f"{folder}/{plain}", number))
    if len({photo.path for photo in photos}) < len(photos):
        raise InputError(file, "it lists a photo twice", "download the file again")
    return photos


def _read_folders(root: Path, split: str, names: list[str]) -> list[Photo]:
    """Return the photos of one folder per class, named like it except for forbidden characters."""
    number_of = {_plain(name): number for number, name in enumerate(names)}
    photos = []
    for path in list_files(root / split, split):
        folder, _, name = path.rpartition("/")
        if not name.lower().endswith(SUFFIXES):
            continue
        if _plain(folder) not in number_of:
            raise InputError(root / split / path, f"the folder {folder!a} does not match any class of Stanford Cars")
        photos.append(Photo(f"{split}/{path}", number_of[_plain(folder)]))
    return photos


def _plain(name: str) -> str:
    return re.sub(r"\W+", " ", canonical(name)).casefold()
