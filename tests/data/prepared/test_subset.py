"""Subsets of a split represent all classes."""

import pytest
import torch

from coarsecon.data.prepared.subset import draw_evenly

SORTED = torch.arange(5).repeat_interleave(torch.tensor([1, 3, 20, 20, 20])) - 1


@pytest.mark.parametrize(("count", "per_class"), [(5, [1, 1, 1, 1, 1]), (14, [1, 3, 3, 3, 4]), (60, [1, 3, 18, 19, 19]),
                                                  (64, [1, 3, 20, 20, 20]), (99, [1, 3, 20, 20, 20])])  # fmt: skip
def test_every_class_gives_the_same_number_of_images_until_it_has_none_left(count, per_class):
    drawn = draw_evenly(SORTED, count, seed=3)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert sorted((SORTED[drawn] + 1).bincount(minlength=5).tolist()) == per_class


def test_a_draw_depends_on_the_seed_alone_and_grows_with_the_count():
    assert torch.equal(draw_evenly(SORTED, 20, seed=1), draw_evenly(SORTED, 20, seed=1))
    assert not torch.equal(draw_evenly(SORTED, 20, seed=1), draw_evenly(SORTED, 20, seed=2))
    assert set(draw_evenly(SORTED, 20, seed=1).tolist()) < set(draw_evenly(SORTED, 21, seed=1).tolist())


def test_images_of_a_class_are_drawn_at_random():
    drawn = torch.cat([draw_evenly(SORTED, 14, seed) for seed in range(300)])
    counts = drawn.bincount(minlength=64)[4:]
    assert counts.min() > 20
    assert counts.max() < 85
