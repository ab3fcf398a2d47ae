"""CIFARtoy keeps eight classes of CIFAR-10 and groups them as its two variants say."""

from pathlib import Path

import numpy as np
import pytest
from sources import read_source

from coarsecon.data.sources import Source, cifar10
from coarsecon.data.sources.cifartoy import BAD, GOOD
from coarsecon.errors import InputError

GROUPS = {
    "cifartoy-good": ([0, 1, 8, 9, 2, 3, 5, 7], {0: 0, 1: 0, 8: 0, 9: 0, 2: 1, 3: 1, 5: 1, 7: 1}),
    "cifartoy-bad": ([0, 1, 2, 3, 8, 9, 5, 7], {0: 0, 1: 0, 5: 0, 3: 0, 8: 1, 9: 1, 2: 1, 7: 1}),
}


@pytest.mark.parametrize("source", [GOOD, BAD], ids=lambda source: source.name)
def test_classes_are_dropped_renumbered_and_grouped(source: Source, cifar10_folder: Path) -> None:
    order, groups = GROUPS[source.name]
    whole = read_source(cifar10.SOURCE, cifar10_folder)
    data = read_source(source, cifar10_folder)
    assert (data.name, data.size) == (source.name, 32)
    assert data.levels["fine"] == [whole.levels["fine"][label] for label in order]
    assert len(data.levels["coarse"]) == 2
    for split, count in (("train", 80), ("test", 16)):
        before, after = whole.splits[split], data.splits[split]
        kept = [i for i, label in enumerate(before.labels["fine"]) if label in order]
        old = before.labels["fine"][kept]
        assert len(after.images) == len(kept) == count
        assert after.labels["fine"].tolist() == [order.index(label) for label in old]
        assert after.labels["coarse"].tolist() == [groups[label] for label in old]
        np.testing.assert_array_equal(after.images, np.asarray(before.images)[kept])
        assert before.names is not None
        assert after.names == [before.names[i] for i in kept]


def test_the_published_counts() -> None:
    assert GOOD.counts == BAD.counts == {"train": 40_000, "test": 8_000}


def test_uneven_classes_are_not_the_published_ones(cifar10_folder: Path) -> None:
    folder = cifar10_folder / "cifar-10-batches-py"
    (folder / "data_batch_1").write_bytes((folder / "data_batch_1").read_bytes().replace(b"K\x04", b"K\x05"))
    with pytest.raises(InputError, match="cifartoy-good: 82 train images instead of 80"):
        read_source(GOOD, cifar10_folder)
