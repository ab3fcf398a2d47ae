"""Stanford Cars in its three forms, whose photos and labels are those of the devkit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sources import read_source
from stand_ins.cars196 import box, class_names, labels, save_mat, write_devkit, write_folders, write_joint
from stand_ins.images import encoded

from coarsecon.data.sources import SourceData, cars196
from coarsecon.data.sources.labels import read_table
from coarsecon.errors import InputError


def read(source: Path | None, **more) -> SourceData:
    return read_source(cars196.SOURCE, source, **more)


@pytest.mark.parametrize("write", [write_devkit, write_joint, write_folders])
def test_each_form_gives_the_photos_with_their_labels(
    write: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, monkeypatch)
    data = read(tmp_path)
    body_types = [row["coarse_name"] for row in read_table("cars196")]
    assert data.levels["fine"] == class_names()
    assert data.levels["coarse"] == ["cab", "sedan", "SUV", "convertible", "coupe", "hatchback", "wagon", "van"]
    for split, part in data.splits.items():
        assert sorted(part.labels["fine"].tolist()) == sorted(label - 1 for label in labels(split))
        for image, coarse, fine in zip(part.images, *part.labels.values(), strict=True):
            assert image.read_bytes() in (encoded(seed=int(fine) + 1), encoded(seed=int(fine) + 1, mode="L"))
            assert data.levels["coarse"][coarse] == body_types[fine]


def test_the_devkit_may_lie_beside_the_photos_or_in_the_folder_of_its_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_devkit(tmp_path, monkeypatch)
    expected = read(tmp_path).splits["test"].labels["fine"].tolist()
    (tmp_path / "car_devkit").mkdir()
    (tmp_path / "devkit").rename(tmp_path / "car_devkit" / "devkit")
    assert read(tmp_path).splits["test"].labels["fine"].tolist() == expected
    for file in (tmp_path / "car_devkit" / "devkit").iterdir():
        file.rename(tmp_path / file.name)
    assert read(tmp_path).splits["test"].labels["fine"].tolist() == expected


def test_test_annotations_without_labels_name_the_file_that_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_devkit(tmp_path, monkeypatch)
    (tmp_path / "devkit" / "cars_test_annos_withlabels.mat").unlink()
    with pytest.raises(InputError, match=r"cars_test_annos.mat: no labels; add cars_test_annos_withlabels.mat"):
        read(tmp_path)
    (tmp_path / "devkit" / "cars_test_annos.mat").unlink()
    with pytest.raises(InputError, match=r"cars_test_annos_withlabels.mat missing; put it there or into .*devkit"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"class": np.uint8(197)}, "class goes beyond 1 to 196"),
        ({"class": np.uint8(0)}, "class goes beyond 1 to 196"),
        ({"class": "sedan"}, "class: not all are integers"),
        ({"fname": "../devkit/cars_meta.mat"}, "the photo .* is not in .*cars_train"),
        ({"fname": "/etc/passwd"}, "the photo .* is not in"),
        ({"fname": np.uint8(3)}, "the photo '?3|the photo .* is not in"),
        ({"fname": "00002.jpg"}, "lists a photo twice"),
    ],
)
def test_wrong_annotations_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, problem: str
) -> None:
    write_devkit(tmp_path, monkeypatch)
    rows = [{**box(), "class": np.uint8(label), "fname": f"{i:05d}.jpg"} for i, label in enumerate(labels("train"), 1)]
    rows[0] |= change
    save_mat(tmp_path / "devkit" / "cars_train_annos.mat", annotations=rows)
    with pytest.raises(InputError, match=rf"cars_train_annos.mat: .*({problem})"):
        read(tmp_path)


def test_other_class_names_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_devkit(tmp_path, monkeypatch)
    for names in (class_names()[::-1], class_names()[:-1], [box()], [box()] * 196):
        save_mat(tmp_path / "devkit" / "cars_meta.mat", class_names=names)
        with pytest.raises(InputError, match=r"cars_meta.mat: class_names differ from those of Stanford Cars"):
            read(tmp_path)


def test_other_structures_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_devkit(tmp_path, monkeypatch)
    for annotations in (class_names(), [box()], [{"class": np.uint8(1)}], [{"fname": "00001.jpg"}]):
        save_mat(tmp_path / "devkit" / "cars_train_annos.mat", annotations=annotations)
        with pytest.raises(InputError, match=r"cars_train_annos.mat"):
            read(tmp_path)


def test_a_folder_that_is_no_class_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, monkeypatch)
    folder = tmp_path / "car_data" / "train" / "Flying Carpet"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(encoded())
    with pytest.raises(InputError, match=r"the folder 'Flying Carpet' does not match any class"):
        read(tmp_path)


def test_a_wrong_count_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, monkeypatch)
    next((tmp_path / "car_data" / "test").rglob("*.jpg")).unlink()
    with pytest.raises(InputError, match="11 test photos, not 12; download"):
        read(tmp_path)


def test_what_to_give_is_told(tmp_path: Path) -> None:
    for request in ({"source": None}, {"source": tmp_path, "download": True}):
        with pytest.raises(InputError, match=r"no files any more; get cars_train.tgz"):
            read(**request)
    with pytest.raises(InputError, match=rf"{tmp_path}: does not contain cars_train/ .* or train/ and test/"):
        read(tmp_path)


def test_the_real_devkit(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "devkit").symlink_to(shared / "labels" / "cars196")
    (tmp_path / "cars_train").mkdir()
    photos = {
        f"cars_{split}": [f"{i:05d}.jpg" for i in range(1, count + 1)] for split, count in cars196.SOURCE.counts.items()
    }
    monkeypatch.setattr(cars196, "list_files", lambda _, folder: dict.fromkeys(photos[folder]))
    data = read(tmp_path)
    assert {split: len(part.images) for split, part in data.splits.items()} == {"train": 8144, "test": 8041}
    train = data.splits["train"]
    assert (train.names[0], data.levels["fine"][train.labels["fine"][0]]) == (
        "cars_train/00001.jpg",
        "Audi TTS Coupe 2012",
    )
    assert sorted(np.bincount(train.labels["fine"]).tolist())[::195] == [24, 68]
