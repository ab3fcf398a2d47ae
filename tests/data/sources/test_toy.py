"""The toy images: deterministic by seed, balanced, and coarse labels that follow from the fine ones."""

import numpy as np
from sources import read_source

from coarsecon.data.sources.toy import COARSE, FINE, SOURCE, draw


def test_the_set_is_as_published_and_the_same_for_the_same_seed():
    first, again, other = (read_source(SOURCE, seed=seed) for seed in (0, 0, 1))
    assert {name: len(split.images) for name, split in first.splits.items()} == {"train": 4000, "test": 1000}
    for split in ("train", "test"):
        assert np.array_equal(first.splits[split].images, again.splits[split].images)
        assert not np.array_equal(first.splits[split].images, other.splits[split].images)
        labels = first.splits[split].labels
        assert np.array_equal(labels["coarse"], labels["fine"] // 4)
        assert np.ptp(np.bincount(labels["fine"], minlength=16)) <= 1
    assert first.splits["train"].images.shape[1:] == (3, 32, 32)
    assert (len(COARSE), len(FINE), len(set(FINE))) == (4, 16, 16)


def test_images_of_one_class_differ_from_each_other():
    images = draw(np.zeros(20, np.int64), np.random.default_rng(0)).astype(float)
    distances = abs(images[:, None] - images[None]).mean((2, 3, 4))
    assert distances[~np.eye(20, dtype=bool)].min() > 5


def test_the_number_of_images_drawn_at_once_does_not_change_their_classes():
    fine = np.arange(16)
    assert draw(fine, np.random.default_rng(0)).shape == (16, 3, 32, 32)
