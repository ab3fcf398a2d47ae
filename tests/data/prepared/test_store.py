"""A prepared dataset opens at once; one that is foreign, damaged or lying is refused with one clear error."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.prepared.loader import ImageLoader
from coarsecon.data.prepared.store import PreparedDataset, open_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.errors import InputError


@pytest.fixture
def arrays(tmp_path: Path, array_data: SourceData) -> PreparedDataset:
    return write_dataset(tmp_path / "arrays", array_data)


@pytest.fixture
def files(tmp_path: Path, save_image: Callable[..., Path]) -> PreparedDataset:
    paths = [save_image(tmp_path / "original" / f"{i}.jpg", (100 + i, 90), i) for i in range(5)]
    split = SplitData({"coarse": np.arange(5) % 2}, paths, [f"photo {i}" for i in range(5)])
    data = SourceData("photos", 80, {"coarse": ["a", "b"]}, {"train": split})
    return write_dataset(tmp_path / "files", data)


def edit_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_an_array_dataset_gives_back_what_was_written(arrays: PreparedDataset, array_data: SourceData) -> None:
    assert arrays.info.form == "array"
    assert list(arrays.splits) == ["train", "test"]
    for name, written in array_data.splits.items():
        split = arrays.split(name)
        assert len(split) == len(split.names) == len(written.images)
        assert split.files is None
        assert isinstance(written.images, np.ndarray)
        assert split.images is not None
        assert split.images.dtype == torch.uint8
        np.testing.assert_array_equal(split.images, written.images)
        for level, column in written.labels.items():
            assert split.labels[level].dtype == torch.int64
            np.testing.assert_array_equal(split.labels[level], column)
        np.testing.assert_array_equal(split.image(2), written.images[2].transpose(1, 2, 0))


def test_a_file_dataset_lists_its_files(files: PreparedDataset) -> None:
    split = files.split("train")
    assert files.info.form == "files"
    assert split.images is None
    assert split.names == [f"photo {i}" for i in range(5)]
    assert split.files is not None
    assert all(file.is_file() and file.is_relative_to(files.root) for file in split.files)
    image = split.image(3)
    assert (image.shape, image.dtype) == ((90, 103, 3), np.uint8)


@pytest.mark.parametrize("kind", ["arrays", "files"])
def test_subset_and_take_choose_images_with_their_labels(kind: str, request: pytest.FixtureRequest) -> None:
    split = request.getfixturevalue(kind).split("train")
    chosen = torch.tensor([4, 0, 2])
    for part, indices in ((split.subset(3), [0, 1, 2]), (split.take(chosen), chosen.tolist())):
        assert len(part) == 3
        assert part.names == [split.names[i] for i in indices]
        assert part.labels["coarse"].tolist() == [split.labels["coarse"][i] for i in indices]
        for place, index in enumerate(indices):
            np.testing.assert_array_equal(part.image(place), split.image(index))
    assert len(split.subset(1000)) == len(split)


def test_an_unknown_split_is_an_error(arrays: PreparedDataset) -> None:
    with pytest.raises(InputError, match="no split val, only train, test"):
        arrays.split("val")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_opening_does_not_read_the_images(tmp_path: Path) -> None:
    images = np.ones((20_000, 3, 32, 32), np.uint8)
    data = SourceData("ones", 32, {"coarse": ["a"]}, {"train": SplitData({"coarse": np.zeros(20_000)}, images)})
    write_dataset(tmp_path / "ones", data)

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident()
    dataset = open_dataset(tmp_path / "ones")
    assert resident() - before < images.nbytes / 4
    assert dataset.split("train").image(19_999).min() == 1


def test_another_folder_is_said_not_to_be_prepared(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a prepared dataset; make one with `coarsecon prepare"):
        open_dataset(tmp_path)
    with pytest.raises(InputError, match="no such folder; make a prepared dataset with `coarsecon prepare"):
        open_dataset(tmp_path / "nowhere")


def test_photos_given_as_a_dataset_name_the_command_that_prepares_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = Path("my photos")
    (photos / "dog").mkdir(parents=True)
    (photos / "dog" / "1.jpg").touch()
    command = "`coarsecon prepare folder --source 'my photos' --out 'data/my photos'` and pass data/my photos"
    with pytest.raises(InputError, match=f"my photos: contains images but is not a prepared dataset; run {command}"):
        open_dataset(photos)
    photos.rename("data")
    (tmp_path / "data" / "data").mkdir()
    with pytest.raises(InputError, match="--source data --out data/data-prepared` and pass data/data-prepared"):
        open_dataset(Path("data"))


def test_a_table_given_as_a_dataset_names_the_command_that_prepares_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,coarse\n")
    with pytest.raises(InputError, match=r"t\.csv: a file, not a prepared .* --table \S*t\.csv --out data/t` and pass"):
        open_dataset(tmp_path / "t.csv")


def test_a_folder_of_prepared_datasets_names_them(arrays: PreparedDataset) -> None:
    with pytest.raises(InputError, match=f"not a prepared dataset, but contains some; choose one of .*{arrays.root}"):
        open_dataset(arrays.root.parent)


def test_a_dataset_is_found_in_any_unicode_form(arrays: PreparedDataset) -> None:
    arrays.root.rename(arrays.root.with_name("cafe\u0301"))
    assert open_dataset(arrays.root.with_name("caf\u00e9")).info == arrays.info


def test_another_format_version_is_named(arrays: PreparedDataset) -> None:
    edit_json(arrays.root / "dataset.json", format_version=2, novelty="x")
    with pytest.raises(InputError, match="format version 2, but this coarsecon reads versions up to 1; update it"):
        open_dataset(arrays.root)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"size": "8"}, "size: Input should be a valid integer"),
        ({"form": "folder"}, "form: Input should be 'array' or 'files'"),
        ({"format_version": "1"}, "format_version"),
        ({"splits": {"../train": {"count": 1, "checksum": ""}}}, "splits.../train"),
        ({"levels": {"coarse": ["a", "b"]}}, "has the labels coarse, fine, not coarse"),
        ({"levels": {"coarse": ["a"], "fine": ["a1", "a2", "b1", "b2"]}}, "coarse labels outside -1 to 0"),
        ({"splits": {"train": {"count": 11, "checksum": ""}}}, "images is not a uint8 array"),
        ({"size": 9}, r"images is not a uint8 array \[10, 3, 9, 9\]"),
        ({"form": "files"}, "contains images, but dataset.json specifies files"),
    ],
)
def test_a_dataset_json_that_is_wrong_or_contradicts_the_files(
    arrays: PreparedDataset, changes: dict[str, Any], problem: str
) -> None:
    edit_json(arrays.root / "dataset.json", **changes)
    with pytest.raises(InputError, match=problem):
        open_dataset(arrays.root)


def test_a_dataset_json_that_is_no_json(arrays: PreparedDataset) -> None:
    (arrays.root / "dataset.json").write_text("{")
    with pytest.raises(InputError, match=r"dataset.json: content: Invalid JSON"):
        open_dataset(arrays.root)


@pytest.mark.parametrize("file", ["train.safetensors", "test.files.json"])
def test_a_missing_file_is_named(arrays: PreparedDataset, file: str) -> None:
    (arrays.root / file).unlink()
    with pytest.raises(InputError, match=file):
        open_dataset(arrays.root)


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_truncated_tensors_are_named(arrays: PreparedDataset, kept: int) -> None:
    file = arrays.root / "train.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(
        InputError, match=r"train.safetensors: missing, truncated or broken .*prepare the dataset again"
    ):
        open_dataset(arrays.root)


@pytest.mark.parametrize(
    ("level", "column", "problem"),
    [
        ("fine", np.full(10, 4), "fine labels outside -1 to 3"),
        ("fine", np.full(10, -2), "fine labels outside -1 to 3"),
        ("fine", np.zeros(9, np.int64), "the fine labels are not 10 int64 numbers"),
        ("fine", np.zeros(10, np.int32), "the fine labels are not 10 int64 numbers"),
        ("finer", np.zeros(10, np.int64), "has the labels"),
        ("images", np.zeros((10, 3, 8, 8), np.float32), "images is not a uint8 array"),
    ],
)
def test_tensors_that_contradict_dataset_json(
    arrays: PreparedDataset, level: str, column: np.ndarray, problem: str
) -> None:
    file = arrays.root / "train.safetensors"
    save_file(load_file(file) | {level: column}, file)
    with pytest.raises(InputError, match=problem):
        open_dataset(arrays.root)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/etc/hosts", "/etc leads out of the dataset"),
        ("../original/0.jpg", "../original leads out of the dataset"),
        ("images/train/../../../original/0.jpg", "leads out of the dataset"),
        ("images/train/linked.jpg", "linked.jpg: missing, or not a regular file"),
        ("linked/0.jpg", "linked leads out of the dataset"),
        ("images/train/none.jpg", "none.jpg: missing, or not a regular file"),
        ("images/none/0.jpg", "images/none: cannot be read"),
        ("images/train", "images/train: missing, or not a regular file"),
    ],
)
def test_listed_files_lie_in_the_dataset(files: PreparedDataset, path: str, problem: str) -> None:
    outside = files.root.parent / "original"
    (files.root / "images" / "train" / "linked.jpg").symlink_to(outside / "0.jpg")
    (files.root / "linked").symlink_to(outside)
    listing = files.root / "train.files.json"
    edit_json(listing, files=[*json.loads(listing.read_text())["files"][:4], path])
    with pytest.raises(InputError, match=problem):
        open_dataset(files.root)


@pytest.mark.parametrize("changes", [{"names": ["one"]}, {"files": []}, {"files": None}])
def test_listings_of_another_length_are_an_error(files: PreparedDataset, changes: dict[str, Any]) -> None:
    edit_json(files.root / "train.files.json", **changes)
    with pytest.raises(InputError, match=r"train.files.json: does not list 5 images"):
        open_dataset(files.root)


def test_a_dataset_can_be_moved(arrays: PreparedDataset, tmp_path: Path) -> None:
    arrays.root.rename(tmp_path / "elsewhere")
    moved = open_dataset(str(tmp_path / "elsewhere"))
    assert moved.info == arrays.info


def test_an_array_that_is_truncated_after_it_was_opened_is_refused_and_ends_no_process(tiny_data, tmp_path):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    split = open_dataset(data).split("train")
    file = data / "train.safetensors"
    labels = {level: column.clone() for level, column in split.labels.items()}
    os.truncate(file, file.stat().st_size // 2)
    last = torch.tensor([len(split) - 1])
    for read in (
        lambda: split.image(int(last)),
        lambda: split.take(last),
        lambda: split.subset(len(split)).image(int(last)),
        lambda: next(ImageLoader(split, "cpu").batches([last])),
    ):
        with pytest.raises(InputError, match=rf"{file}: truncated while it was in use \(.* bytes are left\)"):
            read()
    assert all(torch.equal(column, labels[level]) for level, column in split.labels.items())


def test_an_array_that_is_replaced_after_it_was_opened_is_read_as_it_was(tiny_data, tmp_path):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    split = open_dataset(data).split("train")
    before = split.image(0).copy()
    (tmp_path / "other").write_bytes(b"short")
    (tmp_path / "other").replace(data / "train.safetensors")
    assert np.array_equal(split.image(0), before)
