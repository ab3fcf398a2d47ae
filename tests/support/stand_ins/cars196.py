"""Stanford Cars, small, in its three forms; the .mat files have the structure of the devkit's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from coarsecon.data.sources import cars196
from coarsecon.data.sources.labels import read_table
from stand_ins.images import encoded

COUNTS = {"train": 24, "test": 12}
BOX = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def class_names() -> list[str]:
    return [row["fine_name"] for row in read_table("cars196")]


def labels(split: str) -> list[int]:
    """A class number, from 1, for each photo."""
    return [(7 * i + (split == "test")) % 196 + 1 for i in range(COUNTS[split])]


def save_mat(file: Path, **variables: Any) -> None:
    """Each variable is a list of texts (a cell array) or of dicts (a struct array), [1, N] as MATLAB has them."""
    content = {}
    for name, values in variables.items():
        if isinstance(values[0], str):
            array = np.empty((1, len(values)), object)
        else:
            array = np.empty((1, len(values)), [(field, object) for field in values[0]])
        for i, value in enumerate(values):
            array[0, i] = value if isinstance(value, str) else tuple(value.values())
        content[name] = array
    savemat(file, content, do_compression=True)


def box() -> dict[str, Any]:
    return dict(zip(BOX, np.array([39, 116, 569, 375], np.uint16), strict=True))


def write_devkit(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes cars_train, cars_test and devkit."""
    monkeypatch.setattr(cars196.SOURCE, "counts", COUNTS)
    (place / "devkit").mkdir(parents=True)
    for split in COUNTS:
        (place / f"cars_{split}").mkdir()
        annotations = []
        for i, label in enumerate(labels(split), 1):
            (place / f"cars_{split}" / f"{i:05d}.jpg").write_bytes(encoded(seed=label, mode="L" if i == 3 else "RGB"))
            annotations.append({**box(), "class": np.uint8(label), "fname": f"{i:05d}.jpg"})
        name = "cars_train_annos.mat" if split == "train" else "cars_test_annos_withlabels.mat"
        save_mat(place / "devkit" / name, annotations=annotations)
    for row in annotations:
        del row["class"]
    save_mat(place / "devkit" / "cars_test_annos.mat", annotations=annotations)
    save_mat(place / "devkit" / "cars_meta.mat", class_names=class_names())
    return ["--source", str(place)]


def write_joint(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes car_ims and cars_annos.mat."""
    monkeypatch.setattr(cars196.SOURCE, "counts", COUNTS)
    (place / "car_ims").mkdir(parents=True)
    annotations: list[dict[str, Any]] = []
    for split in COUNTS:
        for label in labels(split):
            path = f"car_ims/{len(annotations) + 1:06d}.jpg"
            (place / path).write_bytes(encoded(seed=label))
            annotations.append(
                {"relative_im_path": path, **box(), "class": np.uint8(label), "test": np.uint8(split == "test")}
            )
    save_mat(place / "cars_annos.mat", annotations=annotations, class_names=class_names())
    return ["--source", str(place)]


def write_folders(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes car_data/train and car_data/test with a folder for each class."""
    monkeypatch.setattr(cars196.SOURCE, "counts", COUNTS)
    names = class_names()
    for split in COUNTS:
        for i, label in enumerate(labels(split), 1):
            folder = place / "car_data" / split / names[label - 1].replace("/", "-")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i:05d}.jpg").write_bytes(encoded(seed=label))
    return ["--source", str(place)]
