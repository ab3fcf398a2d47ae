"""ILSVRC 2012 in small: one training and one validation image of each class, in the forms it was published in."""

import io
import tarfile
from functools import cache
from pathlib import Path

import pytest

from coarsecon.data.sources import ilsvrc, imagenet100
from coarsecon.data.sources.labels import read_table
from stand_ins.images import encoded

ROWS = read_table("imagenet")
WNIDS = [row["wnid"] for row in ROWS]
PNG_CALLED_JPEG = "n02105855"
CMYK = "n02077923"
GREY = "n01440764"


def take_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have one image of each class taken for all of ILSVRC 2012."""
    monkeypatch.setattr(ilsvrc, "TRAIN_PER_CLASS", (1, 1))
    monkeypatch.setattr(ilsvrc, "TRAIN_TOTAL", 1000)
    monkeypatch.setattr(ilsvrc, "VAL_PER_CLASS", 1)
    monkeypatch.setattr(imagenet100, "TRAIN_TOTAL", 100)


def subset(name: str) -> list[str]:
    """The WNIDs of a dataset made of some classes."""
    rows = read_table("imagenet100") if name == "imagenet100" else read_table("breeds")
    return sorted({row["wnid"] for row in rows if row.get("dataset", name) == name})


def train_images(wnids: list[str]) -> list[tuple[str, str, bytes]]:
    """(WNID, name, content) of a training image of each class: also those three whose kind is odd in ILSVRC, too."""
    odd = {PNG_CALLED_JPEG: ("PNG", "RGB"), CMYK: ("JPEG", "CMYK"), GREY: ("JPEG", "L")}
    images = []
    for wnid in wnids:
        seed = WNIDS.index(wnid)
        format, mode = odd.get(wnid, ("JPEG", "RGB"))
        images.append((wnid, f"{wnid}_{seed + 10}.JPEG", encoded(format, (40, 30), seed, mode)))
    return images


@cache
def val_images() -> list[tuple[str, str, bytes]]:
    """(WNID, name, content) of 1,000 validation images, whose numbers run through the classes in another order."""
    return [
        (WNIDS[7 * i % 1000], f"ILSVRC2012_val_{i + 1:08d}.JPEG", encoded(size=(30, 40), seed=5000 + i))
        for i in range(1000)
    ]


def write_folders(place: Path, wnids: list[str], *, val: bool = True) -> None:
    """train/WNID/ and val/WNID/ of some classes."""
    for wnid, name, content in train_images(wnids):
        _write(place / "train" / wnid / name, content)
    for wnid, name, content in val_images() if val else []:
        if wnid in wnids:
            _write(place / "val" / wnid / name, content)


def write_flat_val(folder: Path) -> None:
    """The validation images in one folder, as their archive unpacks."""
    for _, name, content in val_images():
        _write(folder / name, content)


def write_train_tar(place: Path) -> None:
    """ILSVRC2012_img_train.tar: a tar file for each class."""
    with tarfile.open(place / "ILSVRC2012_img_train.tar", "w", format=tarfile.GNU_FORMAT) as outer:
        for wnid, name, content in train_images(WNIDS):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w", format=tarfile.GNU_FORMAT) as tar:
                _add(tar, name, content)
            _add(outer, f"{wnid}.tar", inner.getvalue())


def write_val_tar(place: Path) -> None:
    """ILSVRC2012_img_val.tar: all images in one heap, as they came."""
    with tarfile.open(place / "ILSVRC2012_img_val.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for _, name, content in reversed(val_images()):
            _add(tar, name, content)


def ground_truth() -> str:
    """ILSVRC2012_validation_ground_truth.txt: the devkit's id of the class of each image."""
    ids = {row["wnid"]: row["devkit_id"] for row in ROWS}
    return "".join(f"{ids[wnid]}\n" for wnid, _, _ in val_images())


def write_devkit(place: Path) -> None:
    """ILSVRC2012_devkit_t12.tar.gz, of which only the ground truth is read."""
    with tarfile.open(place / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
        _add(tar, "ILSVRC2012_devkit_t12/readme.txt", b"ILSVRC 2012")
        _add(tar, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", ground_truth().encode())


def write_solution(place: Path) -> None:
    """LOC_val_solution.csv: the boxes of each image, which all name its class, in an order of its own."""
    boxes = [f"{Path(name).stem},{wnid} 85 1 499 272 {wnid} 1 2 30 40 " for wnid, name, _ in reversed(val_images())]
    (place / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *boxes]) + "\n")


def write_xml(folder: Path) -> None:
    """A file of boxes for each validation image."""
    for wnid, name, _ in val_images():
        box = "<bndbox><xmin>11</xmin><ymin>7</ymin><xmax>29</xmax><ymax>38</ymax></bndbox>"
        content = (
            f"<annotation>\n\t<folder>val</folder>\n\t<filename>{Path(name).stem}</filename>\n"
            "\t<source>\n\t\t<database>ILSVRC_2012</database>\n\t</source>\n"
            "\t<size>\n\t\t<width>30</width>\n\t\t<height>40</height>\n\t\t<depth>3</depth>\n\t</size>\n"
            f"\t<segmented>0</segmented>\n\t<object>\n\t\t<name>{wnid}</name>\n\t\t<pose>Unspecified</pose>\n"
            f"\t\t<truncated>0</truncated>\n\t\t<difficult>0</difficult>\n\t\t{box}\n\t</object>\n</annotation>\n"
        )
        _write(folder / f"{Path(name).stem}.xml", content.encode())


def write_imagenet1k_tars(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Both image archives and the devkit's, as they are fetched."""
    take_as_published(monkeypatch)
    place.mkdir()
    write_train_tar(place)
    write_val_tar(place)
    write_devkit(place)
    return ["--source", str(place), "--size", "32"]


def write_imagenet100_folders(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of the hundred classes."""
    take_as_published(monkeypatch)
    write_folders(place, subset("imagenet100"))
    return ["--source", str(place), "--size", "72"]


def write_living17_challenge(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As the archive of the localization challenge unpacks, which has the validation images in one folder."""
    take_as_published(monkeypatch)
    write_folders(place / "ILSVRC" / "Data" / "CLS-LOC", subset("living17"), val=False)
    write_flat_val(place / "ILSVRC" / "Data" / "CLS-LOC" / "val")
    write_solution(place)
    return ["--source", str(place), "--size", "32"]


def write_nonliving26_xml(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Class folders for training, a heap of validation images, and their XML annotations; variant `good`."""
    take_as_published(monkeypatch)
    write_folders(place, subset("nonliving26"), val=False)
    write_flat_val(place / "val")
    write_xml(place / "ILSVRC2012_bbox_val_v3" / "val")
    return ["--source", str(place), "--size", "32", "--variant", "good"]


def write_entity13_text(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Class folders for training, the archive of validation images, and the ground truth; variant `bad`."""
    take_as_published(monkeypatch)
    write_folders(place, subset("entity13"), val=False)
    write_val_tar(place)
    (place / "ILSVRC2012_validation_ground_truth.txt").write_text(ground_truth())
    return ["--source", str(place), "--size", "32", "--variant", "bad"]


def write_entity30_folders(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of the 240 classes; variant `rand`."""
    take_as_published(monkeypatch)
    write_folders(place, subset("entity30"))
    return ["--source", str(place), "--size", "32", "--variant", "rand"]


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
