"""Exact duplicates within a split."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import write_tiny_dataset

from coarsecon.data.prepared.duplicates import duplicates
from coarsecon.data.prepared.hashes import image_hashes
from coarsecon.data.prepared.store import Split, open_dataset


def partition(values) -> set[frozenset[int]]:
    """Sets of two images or more with the same value."""
    known = {value for value in values if value is not None}
    sets = {frozenset(i for i, other in enumerate(values) if other == value) for value in known}
    return {each for each in sets if len(each) > 1}


def repeated(split: Split) -> torch.Tensor:
    """Indices of its images, some of them twice or three times."""
    return torch.tensor([*range(len(split)), 3, 5, 5])


def test_images_of_an_array_are_compared_by_their_pixels(tmp_path):
    split = open_dataset(write_tiny_dataset(tmp_path / "data")).split("train")
    split = split.take(repeated(split))
    split.images[0] = split.images[1]
    split.images[0, 0, 0, 0] += 1  # almost equal
    found = duplicates(split)
    count = len(split)
    assert partition(found) == {frozenset({3, count - 3}), frozenset({5, count - 2, count - 1})}
    assert partition(found) == partition(image_hashes(split).tolist())
    assert sum(value is not None for value in found) == 5


@pytest.mark.parametrize("size", [5, 10_000])
def test_files_are_compared_by_their_content(tmp_path, size):
    rng = np.random.default_rng(0)
    content = [rng.bytes(size), rng.bytes(size), rng.bytes(size + 1)]
    files = [tmp_path / f"{i}.jpg" for i in range(5)]
    for file, place in zip(files, (0, 1, 2, 1, 0), strict=True):
        file.write_bytes(content[place])
    found = duplicates(of_files(files))
    assert partition(found) == {frozenset({0, 4}), frozenset({1, 3})}
    assert found[2] is None


def test_missing_files_are_no_duplicates(tmp_path):
    assert duplicates(of_files([tmp_path / "a.jpg", tmp_path / "b.jpg"])) == [None, None]


def of_files(files: list[Path]) -> Split:
    return Split("train", {}, None, files, [file.name for file in files])
