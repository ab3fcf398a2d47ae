"""From layers of settings to a plan: which images are trained on, and what cannot be trained on."""

import pytest
from tiny import tiny_settings, write_tiny_dataset

from coarsecon.train.resolve import plan


@pytest.fixture(scope="module")
def sorted_data(tmp_path_factory):
    """96 training images in the order of their classes, as class folders give them."""
    return write_tiny_dataset(tmp_path_factory.mktemp("sorted") / "data", in_order=True)


def test_limit_draws_images_evenly_over_the_classes_by_the_seed(sorted_data):
    planned = plan(tiny_settings(sorted_data, data={"limit": 41}))
    assert planned.steps_per_epoch == 1
    assert sorted(planned.split.labels["coarse"].bincount().tolist()) == [10, 10, 10, 11]
    assert planned.split.names == sorted(planned.split.names)
    assert planned.split.names == plan(tiny_settings(sorted_data, data={"limit": 41})).split.names
    other = plan(tiny_settings(sorted_data, data={"limit": 41}, run={"seed": 1}))
    assert planned.split.names != other.split.names
    fine = plan(tiny_settings(sorted_data, data={"limit": 32, "labels": "fine"}))
    assert fine.split.labels["fine"].bincount().tolist() == [2] * 16
    everything = plan(tiny_settings(sorted_data, data={"limit": 500}))
    assert everything.split.names == everything.dataset.split("train").names


def test_limit_can_take_the_first_images(sorted_data):
    planned = plan(tiny_settings(sorted_data, data={"limit": 40, "limit_draw": "first"}))
    assert planned.split.names == planned.dataset.split("train").names[:40]
