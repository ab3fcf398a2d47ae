"""Retrieval between splits and datasets: classes match by identity, and an item is left out where it is the same."""

import numpy as np
import pytest
import torch

from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.prepared.fine_names import written_names
from coarsecon.data.prepared.split_ref import SplitRef
from coarsecon.data.prepared.store import PreparedDataset, open_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.data.sources.toy import COARSE, FINE, draw
from coarsecon.errors import InputError
from coarsecon.evaluation.paired_labels import paired_labels
from coarsecon.evaluation.pairing import measure_retrieval, search_between
from coarsecon.metrics.retrieval import retrieval_metrics
from coarsecon.run.features import FeatureStore
from coarsecon.run.folder import open_run
from coarsecon.run.spec import Runtime
from coarsecon.runtime.progress import Reporter


@pytest.fixture
def store(tiny_run):
    return FeatureStore(open_run(tiny_run))


@pytest.fixture
def test_part(tiny_data):
    return SplitRef(open_dataset(tiny_data), "test")


def reversed_dataset(out, *, names: list[str] | None = None):
    """The toy images with their fine classes in reverse order, and no coarse labels."""
    fine = np.arange(32) % 16
    split = SplitData({"fine": 15 - fine}, draw(fine, np.random.default_rng(5)))
    write_dataset(out, SourceData("reversed", 32, {"fine": names or FINE[::-1]}, {"train": split}))
    return open_dataset(out)


def test_within_a_split_it_is_the_metrics_of_its_features(store, test_part):
    report = measure_retrieval(store, test_part, test_part)
    features, labels = store.split(*test_part), test_part.dataset.split("test").labels
    within_all = "fine_within_coarse_all_queries"
    assert list(report) == ["fine", "coarse", "fine_within_coarse", within_all, "by_coarse_class"]
    for level in ("fine", "coarse"):
        assert report[level] == {**retrieval_metrics(features, labels[level]), "queries_without_match": 0}
    assert report["fine_within_coarse"] == report[within_all]  # all coarse classes have several fine ones
    assert {row["name"] for row in report["by_coarse_class"]} == set(COARSE)
    first = COARSE.index(report["by_coarse_class"][0]["name"])
    mine = labels["coarse"] == first
    within = report["by_coarse_class"][0]["fine_within_coarse"]
    expected = retrieval_metrics(features[mine], labels["fine"][mine])
    assert {name: within[name] for name in expected} == pytest.approx(expected)


def test_the_same_items_in_another_folder_are_not_found_by_themselves(store, test_part, tiny_data, tmp_path):
    import shutil

    shutil.copytree(tiny_data, tmp_path / "copy")
    copy = SplitRef(open_dataset(tmp_path / "copy"), "test")
    assert torch.equal(search_between(store, test_part, copy).own, torch.arange(48))
    other = search_between(store, test_part, SplitRef(test_part.dataset, "train"))
    assert (other.own == -1).all()
    assert len(other.gallery) == 96


def test_classes_of_another_dataset_meet_by_name(store, test_part, tmp_path):
    gallery = SplitRef(reversed_dataset(tmp_path / "data"), "train")
    pairs = paired_labels(test_part, gallery)
    assert list(pairs) == ["fine"]
    assert pairs["fine"][1].tolist() == [i % 16 for i in range(32)]
    report = measure_retrieval(store, test_part, gallery)
    assert report["fine"]["queries"] == 48
    assert report["fine"]["recall@50"] == 1.0
    assert "by_coarse_class" not in report


class Lines(Reporter):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def info(self, text: str) -> None:
        self.seen.append(text)


class Vectors:
    """A store of given features, by split."""

    device = torch.device("cpu")

    def __init__(self, **features: list[list[float]]) -> None:
        self.features, self.runtime = features, Runtime("cpu", 0, Lines())

    def split(self, dataset: PreparedDataset, split: str) -> torch.Tensor:
        return torch.tensor(self.features[split])


def dataset_of(out, classes: list[tuple[str, str]], coarse: list[str], **splits: list[int]) -> PreparedDataset:
    """A dataset of black images with (coarse, fine) classes, numbers of which are in each split; -1: no label."""
    parents = np.array([*(coarse.index(parent) for parent, _ in classes), -1])
    data = {
        name: SplitData(
            {"fine": np.array(labels), "coarse": parents[labels]},
            np.full((len(labels), 3, 32, 32), place, np.uint8),
        )
        for place, (name, labels) in enumerate(splits.items())
    }
    levels = {"coarse": coarse, "fine": written_names(classes)}
    return write_dataset(out, SourceData("classes", 32, levels, data))


COLLIDING = [("w", "x/y"), ("x", "y"), ("z", "y"), ("x", "x/y")]


def test_fine_classes_that_are_written_alike_stay_apart_across_splits_and_datasets(tmp_path):
    one = dataset_of(tmp_path / "one", COLLIDING, ["w", "x", "z"], train=[0, 1, 2, 3], test=[3, 2, 1, 0])
    other = dataset_of(tmp_path / "other", COLLIDING[::-1], ["x", "z", "w"], train=[0, 1, 2, 3])
    vectors = np.eye(4).tolist()
    store = Vectors(train=vectors, test=vectors[::-1])
    for gallery in (SplitRef(one, "train"), SplitRef(other, "train")):
        store.features["train"] = vectors if gallery.dataset is one else vectors[::-1]
        report = measure_retrieval(store, SplitRef(one, "test"), gallery)
        assert report["fine"]["recall@1"] == report["coarse"]["recall@1"] == 1
        assert report["fine"]["classes"] == 4


def test_a_name_that_is_clear_in_one_dataset_matches_the_same_class_of_another(tmp_path):
    one = dataset_of(tmp_path / "one", [("x", "y")], ["x"], train=[0])
    two = dataset_of(tmp_path / "two", [("x", "y"), ("z", "y")], ["x", "z"], train=[1, 0])
    assert one.info.levels["fine"] == ["y"]
    assert two.info.levels["fine"] == ["x/y", "z/y"]
    pairs = paired_labels(SplitRef(one, "train"), SplitRef(two, "train"))
    assert [labels.tolist() for labels in pairs["fine"]] == [[0], [2, 0]]
    assert [labels.tolist() for labels in pairs["coarse"]] == [[0], [2, 0]]


def test_classes_that_older_versions_wrote_alike_are_told_apart_by_their_coarse_class(tmp_path):
    images = np.zeros((3, 3, 32, 32), np.uint8)
    columns = {"fine": np.arange(3), "coarse": np.arange(3)}
    levels = {"coarse": ["w", "x", "z"], "fine": ["x/y", "x/y", "z/y"]}
    old = write_dataset(tmp_path / "old", SourceData("old", 32, levels, {"train": SplitData(columns, images)}))
    new = dataset_of(tmp_path / "new", COLLIDING[:3], ["w", "x", "z"], train=[0, 1, 2])
    assert new.info.levels["fine"] == ["w/x/y", "x/y", "z/y"]
    for one, other in ((old, new), (new, old)):
        assert paired_labels(SplitRef(one, "train"), SplitRef(other, "train"))["fine"][1].tolist() == [0, 1, 2]


def test_equal_names_in_other_coarse_classes_are_other_classes(tmp_path):
    one = dataset_of(tmp_path / "one", [("x", "y"), ("x", "v")], ["x"], train=[0, 1])
    two = dataset_of(tmp_path / "two", [("z", "y"), ("x", "v")], ["x", "z"], train=[0, 1])
    assert paired_labels(SplitRef(one, "train"), SplitRef(two, "train"))["fine"][1].tolist() == [2, 1]


def test_fine_within_coarse_is_measured_where_a_coarse_class_has_several_fine_classes(tmp_path):
    classes = [("a", "a1"), ("a", "a2"), ("b", "b1")]
    data = dataset_of(tmp_path / "data", classes, ["a", "b"], train=[0, 0, 1, 1, 2, 2, 2, -1])
    angles = torch.tensor([0.0, 40, 10, 55, 90, 95, 100, 200]).deg2rad()
    store = Vectors(train=torch.stack([angles.cos(), angles.sin()], 1).tolist())
    part = SplitRef(data, "train")
    report = measure_retrieval(store, part, part)
    main, everything = report["fine_within_coarse"], report["fine_within_coarse_all_queries"]
    assert main["recall@1"] == 0  # the nearest of 0 is 10, of 40 is 55, of 10 is 0 and of 55 is 40
    assert everything["recall@1"] == pytest.approx(3 / 7)
    assert main["chance"] == pytest.approx(1 / 3)
    counts = ("queries", "classes", "coarse_classes")
    assert [main[name] for name in counts] == [4, 2, 1]
    assert [everything[name] for name in counts] == [7, 3, 2]
    assert [row["name"] for row in report["by_coarse_class"]] == ["a", "b"]
    assert report["by_coarse_class"][1]["fine_within_coarse"]["recall@1"] == 1


def test_a_gallery_with_one_fine_class_in_each_coarse_class_has_nothing_to_tell_apart(tmp_path):
    data = dataset_of(tmp_path / "data", [("a", "a1"), ("a", "a2"), ("b", "b1")], ["a", "b"], train=[0, 2], test=[0, 2])
    store = Vectors(train=[[1.0, 0], [0, 1.0]], test=[[1.0, 0.1], [0.1, 1.0]])
    report = measure_retrieval(store, SplitRef(data, "test"), SplitRef(data, "train"))
    assert "fine_within_coarse" not in report
    assert report["fine_within_coarse_all_queries"]["recall@1"] == 1
    assert any("no coarse class has two fine classes in the gallery" in line for line in store.runtime.reporter.seen)


def test_queries_without_an_image_to_find_are_counted_and_named(tmp_path):
    classes = [("a", "a1"), ("a", "a2"), ("b", "b1")]
    data = dataset_of(tmp_path / "data", classes, ["a", "b"], train=[0, 0, 1, 2], test=[0, 0, 2])
    store = Vectors(train=np.eye(4).tolist(), test=np.eye(4)[:3].tolist())
    part = SplitRef(data, "train")
    report = measure_retrieval(store, part, part)
    assert [report[level]["queries_without_match"] for level in ("fine", "coarse")] == [2, 1]
    assert (
        "2 of 4 queries have no other image of their fine class in the gallery (2 classes: a2, b1)"
        in (store.runtime.reporter.seen[0])
    )
    assert "1 of 4 queries" in store.runtime.reporter.seen[1]
    across = measure_retrieval(store, part, SplitRef(data, "test"))
    assert [across[level]["queries_without_match"] for level in ("fine", "coarse")] == [1, 0]


def test_sets_without_a_common_class_are_told(test_part, tmp_path):
    gallery = SplitRef(reversed_dataset(tmp_path / "data", names=[f"class {i}" for i in range(16)]), "train")
    with pytest.raises(InputError, match="share no class name"):
        paired_labels(test_part, gallery)
