"""Which neighbor counts as right, near or wrong."""

import numpy as np
import pytest

from coarsecon.pictures.rows import Picture, judge

PIXELS = np.zeros((4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("query", "item", "kind", "meaning"),
    [
        (("pear", "anjou"), ("pear", "anjou"), "right", "same fine class"),
        (("pear", "anjou"), ("pear", "conference"), "near", "same coarse, other fine class"),
        (("pear", "anjou"), ("milk", "oat"), "wrong", "other coarse class"),
        (("pear", "red"), ("apple", "red"), "wrong", "other coarse class"),
        ((None, "anjou"), (None, "anjou"), "right", "same fine class"),
        ((None, "anjou"), ("pear", "conference"), "wrong", "other fine class"),
        (("pear", None), ("pear", "anjou"), "right", "same coarse class"),
        (("pear", "anjou"), ("milk", None), "wrong", "other coarse class"),
    ],
)
def test_the_finest_level_known_of_both_decides(
    query: tuple[str | None, str | None], item: tuple[str | None, str | None], kind: str, meaning: str
) -> None:
    assert judge(Picture(PIXELS, "q", *query), Picture(PIXELS, "i", *item)) == (kind, meaning)


def test_without_labels_on_one_level_there_is_no_verdict() -> None:
    assert judge(Picture(PIXELS, "q", "pear"), Picture(PIXELS, "i", None, "anjou")) is None
    assert judge(Picture(PIXELS, "q"), Picture(PIXELS, "i", "pear", "anjou")) is None
