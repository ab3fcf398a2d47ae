"""Retrieval between splits and datasets: classes meet by name, and an item is left out where it is the same item."""

import numpy as np
import pytest
import torch

from coarsecon.data.prepare import write_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.data.sources.toy import COARSE, FINE, draw
from coarsecon.data.store import open_dataset
from coarsecon.errors import InputError
from coarsecon.evaluation.features import FeatureStore
from coarsecon.evaluation.pairing import Part, measure_retrieval, paired_labels, renumbered, search_between
from coarsecon.evaluation.retrieval import retrieval_metrics
from coarsecon.runs import open_run


@pytest.fixture
def store(tiny_run):
    return FeatureStore(open_run(tiny_run))


@pytest.fixture
def test_part(tiny_data):
    return Part(open_dataset(tiny_data), "test")


def reversed_dataset(out, *, names: list[str] | None = None):
    """The toy images with their fine classes in reverse order, and no coarse labels."""
    fine = np.arange(32) % 16
    split = SplitData({"fine": 15 - fine}, draw(fine, np.random.default_rng(5)))
    write_dataset(out, SourceData("reversed", 32, {"fine": names or FINE[::-1]}, {"train": split}))
    return open_dataset(out)


def test_within_a_split_it_is_the_metrics_of_its_features(store, test_part):
    report = measure_retrieval(store, test_part, test_part)
    features, labels = store.split(*test_part), test_part.dataset.split("test").labels
    assert list(report) == ["fine", "coarse", "fine_within_coarse", "by_coarse_class"]
    for level in ("fine", "coarse"):
        assert report[level] == retrieval_metrics(features, labels[level])
    assert {row["name"] for row in report["by_coarse_class"]} == set(COARSE)
    first = COARSE.index(report["by_coarse_class"][0]["name"])
    mine = labels["coarse"] == first
    within = report["by_coarse_class"][0]["fine_within_coarse"]
    expected = retrieval_metrics(features[mine], labels["fine"][mine])
    assert {name: within[name] for name in expected} == pytest.approx(expected)


def test_the_same_items_in_another_folder_are_not_found_by_themselves(store, test_part, tiny_data, tmp_path):
    import shutil

    shutil.copytree(tiny_data, tmp_path / "copy")
    copy = Part(open_dataset(tmp_path / "copy"), "test")
    assert torch.equal(search_between(store, test_part, copy).own, torch.arange(48))
    other = search_between(store, test_part, Part(test_part.dataset, "train"))
    assert (other.own == -1).all()
    assert len(other.gallery) == 96


def test_classes_of_another_dataset_meet_by_name(store, test_part, tmp_path):
    gallery = Part(reversed_dataset(tmp_path / "data"), "train")
    pairs = paired_labels(test_part, gallery)
    assert list(pairs) == ["fine"]
    assert pairs["fine"][1].tolist() == [i % 16 for i in range(32)]
    report = measure_retrieval(store, test_part, gallery)
    assert report["fine"]["queries"] == 48
    assert report["fine"]["recall@50"] == 1.0
    assert "by_coarse_class" not in report


def test_unknown_labels_stay_unknown_and_strange_classes_match_nothing():
    assert renumbered(torch.tensor([0, -1, 1, 2]), ["b", "x", "a"], ["a", "b"]).tolist() == [1, -1, 3, 0]


def test_sets_without_a_common_class_are_told(test_part, tmp_path):
    gallery = Part(reversed_dataset(tmp_path / "data", names=[f"class {i}" for i in range(16)]), "train")
    with pytest.raises(InputError, match="share no class name"):
        paired_labels(test_part, gallery)
