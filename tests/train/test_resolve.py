"""From layers of settings to a plan: which images are trained on, and what cannot be trained on."""

import numpy as np
import pytest
from tiny import tiny_settings, write_tiny_dataset

from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.errors import InputError
from coarsecon.train.resolve import build_run_spec


@pytest.fixture(scope="module")
def sorted_data(tmp_path_factory):
    """96 training images in the order of their classes, as class folders give them."""
    return write_tiny_dataset(tmp_path_factory.mktemp("sorted") / "data", in_order=True)


def test_limit_draws_images_evenly_over_the_classes_by_the_seed(sorted_data):
    planned = build_run_spec(tiny_settings(sorted_data, data={"limit": 41}))
    assert planned.steps_per_epoch == 1
    assert sorted(planned.split.labels["coarse"].bincount().tolist()) == [10, 10, 10, 11]
    assert planned.split.names == sorted(planned.split.names)
    assert planned.split.names == build_run_spec(tiny_settings(sorted_data, data={"limit": 41})).split.names
    other = build_run_spec(tiny_settings(sorted_data, data={"limit": 41}, run={"seed": 1}))
    assert planned.split.names != other.split.names
    fine = build_run_spec(tiny_settings(sorted_data, data={"limit": 32, "labels": "fine"}))
    assert fine.split.labels["fine"].bincount().tolist() == [2] * 16
    everything = build_run_spec(tiny_settings(sorted_data, data={"limit": 500}))
    assert everything.split.names == everything.dataset.split("train").names


def test_limit_can_take_the_first_images(sorted_data):
    planned = build_run_spec(tiny_settings(sorted_data, data={"limit": 40, "limit_draw": "first"}))
    assert planned.split.names == planned.dataset.split("train").names[:40]


@pytest.fixture(scope="module")
def one_class(tmp_path_factory):
    """A dataset whose training images are of one coarse class, with two fine classes; a test image is of another."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 3, 32, 32), dtype=np.uint8)
    splits = {
        "train": SplitData({"coarse": np.ones(64, np.int64), "fine": np.arange(64) % 2}, pixels),
        "test": SplitData({"coarse": np.zeros(8, np.int64), "fine": np.arange(8) % 2}, pixels[:8]),
    }
    levels = {"coarse": ["bird", "dog"], "fine": ["pug", "boxer"]}
    folder = tmp_path_factory.mktemp("one-class") / "data"
    write_dataset(folder, SourceData("one", 32, levels, splits))
    return folder


@pytest.mark.parametrize("method", ["supce", "supcon"])
def test_methods_that_separate_classes_refuse_a_single_one(one_class, method):
    says = rf"training images are of one coarse class \(dog\), and {method} needs several classes; .*data\.labels.*moco"
    with pytest.raises(InputError, match=says):
        build_run_spec(tiny_settings(one_class, method))
    assert len(build_run_spec(tiny_settings(one_class, method, data={"labels": "fine"})).split) == 64


def test_a_single_class_is_a_warning_for_methods_that_compare_images_too(one_class):
    reported = build_run_spec(tiny_settings(one_class, "maskcon")).left_out
    assert reported.startswith(
        "Warning: all 64 training images are of one coarse class (dog): its label does not distinguish them"
    )
    assert build_run_spec(tiny_settings(one_class, "moco")).left_out == ""


@pytest.mark.parametrize("settings", [{}, {"limit": 1}, {"limit": 1, "limit_draw": "first"}])
def test_a_single_training_image_is_refused_without_advice_on_the_batch(settings, tmp_path):
    data = write_tiny_dataset(tmp_path / "data", train=96 if settings else 1)
    with pytest.raises(InputError, match="training needs at least 2 images, found 1; add images") as error:
        build_run_spec(tiny_settings(data, data=settings))
    assert "batch" not in str(error.value)


def test_fewer_images_than_a_batch_name_a_batch_size_that_works(tmp_path):
    data = write_tiny_dataset(tmp_path / "data", train=5)
    with pytest.raises(InputError, match=r"run.batch_size: 32 is more than the 5 training images; set it to 2$"):
        build_run_spec(tiny_settings(data))
    assert build_run_spec(tiny_settings(data, run={"batch_size": 2})).steps_per_epoch == 2
