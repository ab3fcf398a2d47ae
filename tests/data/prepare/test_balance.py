"""What is uneven in a dataset's classes is counted and said in words."""

import numpy as np

from coarsecon.data.prepare.balance import balance

LEVELS = {"coarse": ["a", "b", "c"], "fine": ["a1", "a2", "b1", "c1", "c2"]}


def test_classes_are_counted_and_the_troublesome_ones_named() -> None:
    coarse = np.array([0] * 30 + [1] * 2 + [2])
    fine = np.array([0] * 29 + [1] + [2] * 2 + [-1])
    found = balance({"coarse": coarse, "fine": fine}, LEVELS)
    fine_level = found.levels["fine"]
    assert (fine_level.smallest, fine_level.median, fine_level.largest) == (1, 2, 29)
    assert (fine_level.single, fine_level.empty, fine_level.unknown) == (["a2"], ["c1", "c2"], 1)
    assert found.lone == ["b"]
    assert found.notes() == [
        "The coarse classes are imbalanced: 1 to 30 training images.",
        "1 coarse class (c) with a single training image.",
        "The fine classes are imbalanced: 1 to 29 training images.",
        "1 fine class (a2) with a single training image.",
        "2 fine classes (c1, c2) without training images.",
        "1 coarse class (b) with a single fine class.",
    ]


def test_even_classes_are_not_spoken_of() -> None:
    fine = np.arange(40) % 5
    assert (
        balance({"coarse": np.array([0, 0, 1, 1, 1])[fine], "fine": fine}, {**LEVELS, "coarse": ["a", "b"]}).notes()
        == []
    )


def test_one_level_without_a_label_is_told_as_empty() -> None:
    found = balance({"fine": np.full(3, -1)}, {"fine": ["x", "y"]})
    assert found.levels["fine"].unknown == 3
    assert found.notes() == ["2 fine classes (x, y) without training images."]
