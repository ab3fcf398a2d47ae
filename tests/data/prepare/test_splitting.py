"""`prepare` holds out test and validation images, and refuses splits that cannot be made."""

import shutil
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from coarsecon.data.prepare import journal, preparation
from coarsecon.data.prepare.dataset import prepare_dataset, write_dataset
from coarsecon.data.prepare.splitting import parse_fractions, split_train
from coarsecon.data.prepared.check import check_dataset
from coarsecon.data.prepared.folder import other_files
from coarsecon.data.prepared.store import open_dataset
from coarsecon.data.sources import Chunked, SourceData, SplitData
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Progress, Reporter

BOTH = {"test": 0.2, "val": 0.1}


@pytest.fixture
def photos(tmp_path, save_image):
    """Photos in two class folders: twenty bags and ten shoes."""
    for i in range(30):
        save_image(tmp_path / "photos" / ("shoes" if i % 3 == 0 else "bags") / f"{i:02d}.jpg", (60, 50), i)
    return tmp_path / "photos"


def prepared(photos, out, **options):
    return prepare_dataset("folder", out, source=photos, size=80, workers=1, **options)


def names_of(dataset):
    return {name: split.names for name, split in dataset.splits.items()}


def table(path, rows):
    path.write_text("\n".join([",".join(row) for row in rows]) + "\n")
    return path


@pytest.mark.parametrize("split", ["test=0.2,val=0.1", " val = .1, test = 0.2", "train=0.7,val=0.1,test=0.2", BOTH])
def test_fractions_are_text_or_a_mapping(split):
    assert parse_fractions(split) == BOTH


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("test=0.9,val=0.1", "split: the fractions sum to 1, which leaves no image for train"),
        ("test=0.6,val=0.6", "sum to 1.2, which leaves"),
        ("train=0.5,test=0.2", "sum to 0.7, not to 1; omit train, which gets the remaining 0.8"),
        ("holdout=0.2", "'holdout' is not a split that can be made; choose train, val and test"),
        ("test=0", "the fraction of test is 0, not between 0 and 1"),
        ("test=1", "the fraction of test is 1, not between"),
        ("test=nan", "the fraction of test is nan, not between"),
        ("test=-0.1", "the fraction of test is -0.1, not"),
        ("test", "'test' is not a name and a fraction; write for example test=0.2,val=0.1"),
        ("", "'' is not a name and a fraction"),
        ("test=20%", "'test=20%' is not a name and a fraction"),
        ("test=0.2,test=0.1", "names a split twice"),
        ("train=0.5", "names neither test nor val"),
        ({}, "names neither test nor val"),
    ],
)
def test_wrong_fractions_are_refused(split, message):
    with pytest.raises(InputError) as found:
        parse_fractions(split)
    assert message in str(found.value)


def test_wrong_fractions_are_refused_before_anything_is_read(tmp_path):
    with pytest.raises(InputError, match="split: 'dev' is not"):
        prepare_dataset("folder", tmp_path / "out", source=tmp_path / "missing", split="dev=0.1")


def test_splits_are_written_with_the_names_of_the_files(photos, tmp_path):
    dataset = prepared(photos, tmp_path / "out", split="test=0.2,val=0.1")
    found = names_of(dataset)
    assert {name: len(names) for name, names in found.items()} == {"train": 21, "val": 3, "test": 6}
    assert sorted(name for names in found.values() for name in names) == sorted(
        f"{path.parent.name}/{path.name}" for path in photos.glob("*/*")
    )
    assert [names == sorted(names) for names in found.values()] == [True] * 3
    for split in dataset.splits.values():
        classes = [dataset.info.levels["coarse"][label] for label in split.labels["coarse"].tolist()]
        assert classes == [name.split("/")[0] for name in split.names]
    assert dataset.split("test").labels["coarse"].bincount().tolist() == [4, 2]
    assert dataset.info.notes == "Splits of the train images: val 0.1, test 0.2, stratified by coarse label, seed 0."


def test_splits_depend_on_the_seed_and_not_on_the_files_order_or_names(photos, tmp_path):
    first = prepared(photos, tmp_path / "first", split=BOTH)
    assert names_of(prepared(photos, tmp_path / "again", split=BOTH)) == names_of(first)
    assert names_of(prepared(photos, tmp_path / "other", split=BOTH, split_seed=1)) != names_of(first)
    for path in photos.glob("*/*"):
        path.rename(path.with_name(f"{99 - int(path.stem):02d}.jpg"))
    renamed = names_of(prepared(photos, tmp_path / "renamed", split=BOTH))
    for name, names in names_of(first).items():
        assert set(renamed[name]) == {f"{name[:-6]}{99 - int(name[-6:-4]):02d}.jpg" for name in names}


def test_duplicates_stay_in_one_split(photos, tmp_path):
    for i, path in enumerate(sorted(photos.glob("*/*"))):
        for copy in range(i % 3):
            shutil.copy(path, path.with_name(f"copy{copy}-{path.name}"))
    dataset = prepared(photos, tmp_path / "out", split={"test": 0.3})
    assert check_dataset(dataset, workers=1).leaks == {}
    assert "30 exact duplicates are in the split of the image that they repeat." in dataset.info.notes
    assert 15 <= len(dataset.split("test")) <= 21


def test_images_of_a_group_stay_in_one_split(photos, tmp_path):
    rows = [["path", "label", "animal"]]
    for i, path in enumerate(sorted(photos.glob("*/*"))):
        rows.append([f"{path.parent.name}/{path.name}", path.parent.name, "" if i == 7 else f"animal{i // 2}"])
    dataset = prepared(photos, tmp_path / "out", table=table(tmp_path / "t.csv", rows), group="animal", split=BOTH)
    groups = {name: set(split.groups) - {""} for name, split in dataset.splits.items()}
    assert sum(len(found) for found in groups.values()) == len(set.union(*groups.values())) == 15
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 22, "val": 2, "test": 6}
    animal = {row[0]: row[2] for row in rows}
    for split in dataset.splits.values():
        assert split.groups == [animal[name] for name in split.names]
        assert split.subset(2).groups == split.groups[:2]
    assert "Every one of 15 groups of images is in one split." in dataset.info.notes
    assert other_files(dataset.root) == []


def test_groups_in_several_splits_of_the_source_are_reported(photos, tmp_path):
    rows = [["path", "label", "split", "animal"]]
    for i, path in enumerate(sorted(photos.glob("*/*"))):
        split = "test" if i % 5 == 0 else "train"
        rows.append(
            [f"{path.parent.name}/{path.name}", path.parent.name, split, f"{i // 15}" if i % 2 else f"alone{i}"]
        )
    dataset = prepared(photos, tmp_path / "out", table=table(tmp_path / "t.csv", rows), group="animal")
    assert "2 groups have images in several splits (leakage)." in dataset.info.notes


def test_a_pattern_groups_the_images_of_folders(photos, tmp_path):
    dataset = prepared(photos, tmp_path / "out", split={"test": 0.3}, group_pattern=r"(\d)\d\.jpg")
    assert dataset.split("train").groups == [name[-6] for name in dataset.split("train").names]
    assert set(dataset.split("train").groups).isdisjoint(dataset.split("test").groups)


def test_groups_are_kept_without_splits(photos, tmp_path):
    dataset = prepared(photos, tmp_path / "out", group_pattern=r"\d")
    assert dataset.split("train").groups == [name[-6] for name in dataset.split("train").names]
    assert dataset.info.notes == "All images are in the split train; there is no other."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_pattern": "("}, "group_pattern: '(' is not a regular expression"),
        ({"group_pattern": "zebra"}, "group_pattern: no path matches 'zebra', such as bags/01.jpg"),
        ({"group_pattern": "jpg"}, "group: all 30 images are in the group 'jpg'; choose another column"),
        ({"group": "animal"}, "group: names a column of a table, but there is no table; set table"),
        ({"split": "test=0.01"}, "split: the split test would be empty: no class has enough images for 0.01 of them"),
        ({"group_pattern": r"bags|shoes"}, "split: the split test would be empty: no class has enough groups"),
    ],
)
def test_splits_that_cannot_be_made_are_refused(photos, tmp_path, options, message):
    with pytest.raises(InputError) as found:
        prepared(photos, tmp_path / "out", **{"split": BOTH, **options})
    assert message in str(found.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "animal"}, "t.csv: no column animal; it has path, label, site"),
        ({"group": "site", "group_pattern": "a"}, "group_pattern: conflicts with group"),
    ],
)
def test_wrong_columns_of_groups_are_refused(photos, tmp_path, options, message):
    rows = [["path", "label", "site"], ["bags/01.jpg", "bags", "a"], ["bags/02.jpg", "bags", "b"]]
    with pytest.raises(InputError) as found:
        prepared(photos, tmp_path / "out", table=table(tmp_path / "t.csv", rows), split=BOTH, **options)
    assert message in str(found.value)


def test_a_source_without_columns_has_no_groups(tmp_path):
    with pytest.raises(InputError, match="group: is not a setting"):
        prepare_dataset("toy", tmp_path / "out", group="animal")


def test_a_split_that_the_source_has_is_not_made(photos, tmp_path, save_image):
    for i, path in enumerate(sorted(photos.glob("*/*"))):
        target = tmp_path / "split" / ("test" if i % 5 == 0 else "train") / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    with pytest.raises(InputError, match="split: split already has the split test; omit test"):
        prepared(tmp_path / "split", tmp_path / "out", split=BOTH)
    test = prepared(tmp_path / "split", tmp_path / "plain").split("test").names
    dataset = prepared(tmp_path / "split", tmp_path / "out", split="val=0.1")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 22, "test": 6, "val": 2}
    assert dataset.split("test").names == test


def test_images_are_stratified_by_the_finest_label_they_have():
    fine = np.repeat([0, 1, -1, -1, -1], [20, 20, 20, 20, 20])
    coarse = np.repeat([0, 0, 0, 1, -1], [20, 20, 20, 20, 20])
    images = np.random.default_rng(0).integers(0, 256, (100, 3, 8, 8), np.uint8)
    data = SourceData("s", 8, {"coarse": ["a", "b"], "fine": ["x", "y"]},
                      {"train": SplitData({"coarse": coarse, "fine": fine}, images)})  # fmt: skip
    test = split_train(data, {"test": 0.2}).splits["test"]
    pairs, counts = np.unique([test.labels["coarse"], test.labels["fine"]], axis=1, return_counts=True)
    assert pairs.T.tolist() == [[0, -1], [0, 0], [0, 1], [1, -1]]
    assert counts.tolist() == [4, 4, 4, 4]


def test_images_in_pieces_are_split_as_the_same_images_in_an_array():
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 8, 8), np.uint8)
    pieces = Chunked(50, 8, lambda: iter(np.split(images, [7, 7, 30])))
    labels = {"coarse": np.arange(50) % 2}
    expected, found = (
        split_train(SourceData("s", 8, {"coarse": ["a", "b"]}, {"train": SplitData(labels, each)}), BOTH).splits
        for each in (images, pieces)
    )
    for name, split in expected.items():
        assert len(found[name].images) == len(split.images)
        assert np.array_equal(np.concatenate(list(found[name].images.pieces())), split.images)
        assert np.array_equal(found[name].labels["coarse"], split.labels["coarse"])


def test_broken_images_stay_in_train_and_are_no_duplicates(photos, tmp_path):
    for path in list(photos.glob("bags/*"))[:8]:
        path.write_bytes(b"broken")
    dataset = prepared(photos, tmp_path / "out", split={"test": 0.25}, skip_broken=True)
    assert dataset.info.splits["train"].broken == 8
    assert dataset.split("test").labels["coarse"].bincount().sum() == 6
    assert "duplicate" not in dataset.info.notes


class Interrupted(Reporter, Progress):
    """Interrupts the preparation after 20 written images."""

    done = 0

    def progress(self, description, total=None, unit="images"):
        return nullcontext(self if description.startswith("writing") else Progress())

    def advance(self, amount=1, note=""):
        self.done += amount
        if self.done == 20:
            raise KeyboardInterrupt


def test_an_interrupted_preparation_with_splits_resumes(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "PIECE", 4)
    monkeypatch.setattr(preparation, "MIN_KEPT_IMAGES", 8)
    whole = prepared(photos, tmp_path / "whole", split=BOTH)
    with pytest.raises(KeyboardInterrupt):
        prepared(photos, tmp_path / "out", split=BOTH, reporter=Interrupted())
    converted = []
    call = journal.Conversion.__call__
    monkeypatch.setattr(journal.Conversion, "__call__", lambda self, file: converted.append(file) or call(self, file))
    resumed = prepared(photos, tmp_path / "out", split=BOTH)
    assert len(converted) == 10
    assert resumed.info == whole.info
    assert names_of(resumed) == names_of(whole)


def test_an_interrupted_preparation_is_not_mixed_with_other_splits(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "PIECE", 4)
    monkeypatch.setattr(preparation, "MIN_KEPT_IMAGES", 8)
    whole = prepared(photos, tmp_path / "whole", split=BOTH, split_seed=1)
    with pytest.raises(KeyboardInterrupt):
        prepared(photos, tmp_path / "out", split=BOTH, reporter=Interrupted())
    assert prepared(photos, tmp_path / "out", split=BOTH, split_seed=1).info == whole.info


def test_a_dataset_with_groups_of_the_wrong_number_is_refused(array_data, tmp_path):
    train = replace(array_data.splits["train"], groups=["a"] * 10)
    dataset = write_dataset(tmp_path / "out", replace(array_data, splits={**array_data.splits, "train": train}))
    assert dataset.split("train").groups == ["a"] * 10
    assert dataset.split("test").groups is None
    (dataset.root / "train.groups.json").write_text('{"groups": ["a"]}')
    with pytest.raises(InputError, match=r"train\.groups\.json: does not list the groups of 10 images"):
        open_dataset(dataset.root)
