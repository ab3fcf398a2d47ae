"""The default batch size and number of epochs follow from the number of images."""

import pytest
from tiny import tiny_settings, write_tiny_dataset

from coarsecon.config import RunConfig, merge, to_yaml
from coarsecon.train.length import default_batch_size, default_epochs
from coarsecon.train.resolve import build_run_spec


@pytest.mark.parametrize(
    ("images", "batch_size"),
    [(2, 2), (5, 2), (30, 8), (63, 16), (64, 32), (1023, 32), (1024, 64), (2047, 64), (2048, 128), (1_000_000, 128)],
)
def test_batches_are_smaller_for_fewer_images(images, batch_size):
    assert default_batch_size(images) == batch_size
    assert batch_size <= images


def test_fifty_thousand_images_and_more_are_trained_on_for_200_epochs():
    assert [default_epochs(images) for images in (50_000, 1_281_167)] == [200, 200]


def test_fewer_images_are_trained_on_for_more_epochs_and_never_for_more_steps():
    counts = [100, 500, 2_000, 8_000, 20_000, 50_000]
    epochs = [default_epochs(images) for images in counts]
    assert epochs == [500, 500, 500, 500, 316, 200]
    steps = [each * (images // default_batch_size(images)) for each, images in zip(epochs, counts, strict=True)]
    assert steps == sorted(steps)


def test_lengths_that_are_not_set_are_resolved_and_written(tiny_data):
    settings = tiny_settings(tiny_data)
    del settings["schedule"]["epochs"], settings["run"]["batch_size"]
    planned = build_run_spec(settings)
    assert (planned.epochs, planned.batch_size, planned.steps_per_epoch) == (500, 32, 3)
    assert "epochs: 500" in to_yaml(planned.config)
    assert "batch_size: 32" in to_yaml(planned.config)
    again = build_run_spec(planned.config.model_dump(mode="json"))
    assert again.config == planned.config


@pytest.mark.parametrize(("section", "key", "value"), [("schedule", "epochs", 3), ("run", "batch_size", 48)])
def test_lengths_that_are_set_stay(tiny_data, section, key, value):
    settings = merge(tiny_settings(tiny_data), {section: {key: value}})
    assert getattr(getattr(build_run_spec(settings).config, section), key) == value


def test_a_dataset_smaller_than_a_batch_trains_by_default(tmp_path):
    settings = tiny_settings(write_tiny_dataset(tmp_path / "data", train=12))
    del settings["run"]["batch_size"]
    assert build_run_spec(settings).batch_size == 4
    assert RunConfig().run.batch_size is None
