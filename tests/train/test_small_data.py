"""Warnings before a training whose data, batches or length are too small."""

import numpy as np
import pytest
import torch
from tiny import tiny_settings

from coarsecon.data.prepare.dataset import write_dataset
from coarsecon.data.sources import SourceData, SplitData
from coarsecon.methods import Method
from coarsecon.methods.base import TrainingSizes
from coarsecon.train.resolve import build_run_spec


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """96 training images of 20 coarse classes: one of a single image, the others of 5."""
    pixels = np.random.default_rng(0).integers(0, 256, (96, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(95) // 5
    coarse = np.append(labels, 19)
    splits = {"train": SplitData({"coarse": coarse, "fine": coarse}, pixels)}
    names = [f"c{i}" for i in range(20)]
    folder = tmp_path_factory.mktemp("small") / "data"
    write_dataset(folder, SourceData("small", 32, {"coarse": names, "fine": names}, splits))
    return folder


def warnings(data, name, /, **sections):
    sections = {"schedule": {"epochs": 20, "warmup_epochs": 1}, **sections}
    return [note for note in build_run_spec(tiny_settings(data, name, **sections)).notes() if "Warning" in note]


SINGLE = (
    "Warning: 1 coarse class has one training image (c19): nothing is learned about what its class has in common; "
    "add images, or merge the class with another."
)


def test_a_class_with_one_image_is_named(data):
    assert warnings(data, "supce") == [SINGLE]


def test_methods_without_labels_need_no_second_image_of_a_class(data):
    assert warnings(data, "simclr") == []
    assert warnings(data, "moco", method={"queue_size": 48}) == []


@pytest.mark.parametrize(("queue_size", "warns"), [(48, False), (49, True)])
def test_a_queue_of_more_than_half_the_images_is_too_long(data, queue_size, warns):
    found = warnings(data, "maskcon", method={"queue_size": queue_size})
    says = (
        "method.queue_size (49): more than half of the 96 images whose keys a queue stores, so it holds old keys of "
        "the query's image; set it to 48 or less."
    )
    assert found == [*[f"Warning: {says}"] * warns, SINGLE]


def test_banks_are_measured_by_the_images_of_a_class(data):
    assert any(
        "method.queue_size (3): more than half of the 4 images" in note
        for note in warnings(data, "ancor", method={"queue_size": 3})
    )
    assert warnings(data, "ancor", method={"queue_size": 40, "kind": "cst_all"}) == [SINGLE]


def test_the_default_queue_is_never_too_long(data):
    settings = tiny_settings(data, "maskcon", schedule={"epochs": 20})
    del settings["method"]["queue_size"]
    assert not any("queue" in note for note in build_run_spec(settings).notes())


@pytest.mark.parametrize("method", ["supcon", "cnce"])
def test_a_batch_where_an_image_meets_no_other_of_its_class_is_too_small(data, method):
    """Of 96 * 95 pairs of images, 19 * 5 * 4 have the same class: one of 24."""
    says = (
        "Warning: run.batch_size (16): the method compares the images of a class in a batch, and an image meets only "
        "0.62 others of its coarse class there on average; set it to 25 or more."
    )
    assert warnings(data, method, run={"batch_size": 16}) == [says, SINGLE]
    assert len(warnings(data, method, run={"batch_size": 24})) == 2
    assert warnings(data, method, run={"batch_size": 25}) == [SINGLE]
    assert warnings(data, "simclr", run={"batch_size": 16}) == []


def test_the_least_batch_size_is_that_of_a_naive_count():
    rng = np.random.default_rng(0)
    labels = rng.choice(6, 400, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.1])
    counts = np.bincount(labels)
    same = (counts * (counts - 1)).sum() / (400 * 399)
    sizes = TrainingSizes(400, 6, 16, "coarse", same)
    batches = [rng.permutation(labels)[:16] for _ in range(2000)]
    naive = np.mean([(batch == batch[0]).sum() for batch in batches])
    assert sizes.images_of_class == pytest.approx(naive, abs=0.15)
    assert TrainingSizes(400, 6, sizes.batch_with(2), "coarse", same).images_of_class >= 2
    assert TrainingSizes(400, 6, sizes.batch_with(2) - 1, "coarse", same).images_of_class < 2


def test_a_warmup_as_long_as_the_training_is_named(data):
    found = warnings(data, "simclr", schedule={"epochs": 3, "warmup_epochs": 5})
    assert found == [
        "Warning: schedule.warmup_epochs (5): the warmup lasts until the end of the training, after 9 steps, so the "
        "learning rate never reaches optimizer.lr; set it to 0.3."
    ]
    assert warnings(data, "simclr", schedule={"epochs": 3, "warmup_epochs": 2}) == []
    assert warnings(data, "simclr", schedule={"epochs": 3, "warmup_epochs": 5, "name": "cyclic"}) == []


def test_methods_of_other_packages_inherit_the_declared_warning():
    class Mine(Method):
        """A method of another package."""

    sizes = TrainingSizes(images=100, classes=40, batch_size=32, level="coarse")
    assert Mine.small_data_notes(Mine.Config(), sizes) == []
    Mine.compares_class_in_batch = True
    assert "set it to 41 or more" in Mine.small_data_notes(Mine.Config(), sizes)[0]


def test_unlabeled_images_count_as_no_class(data):
    spec = build_run_spec(tiny_settings(data, "simclr", schedule={"epochs": 20}))
    spec.split.labels["coarse"][:] = torch.tensor(-1)
    assert spec.notes() is not None
