"""Pairs of near-duplicates equal those of a naive search, and the choice of what to keep keeps one of each pair."""

import numpy as np
import pytest

from coarsecon.auditing.duplicates import Pairs, choose_kept, exact_pairs, hash_neighbors, merge_pairs
from coarsecon.auditing.near_duplicates import different_bits

NOTHING = (np.zeros(0, np.int64),) * 2


def test_hashes_within_a_radius_are_those_of_a_naive_search():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**63, 300, dtype=np.uint64)
    for i in range(0, 300, 3):  # near copies: some bits flipped
        bits[i + 1] = bits[i] ^ np.bitwise_or.reduce(
            np.uint64(1) << rng.integers(0, 64, i % 12).astype(np.uint64), initial=np.uint64(0)
        )
    found = merge_pairs(NOTHING, hash_neighbors(bits, 8))
    naive = {
        (i, j): (int(bits[i]) ^ int(bits[j])).bit_count()
        for i in range(300)
        for j in range(i + 1, 300)
        if (int(bits[i]) ^ int(bits[j])).bit_count() <= 8
    }
    assert (
        dict(zip(zip(found.first.tolist(), found.second.tolist(), strict=True), found.distance.tolist(), strict=True))
        == naive
    )
    assert found.distance.tolist() == sorted(found.distance.tolist())
    assert different_bits(bits[found.first], bits[found.second]).tolist() == found.distance.tolist()


def test_equal_images_are_paired_with_one_in_each_split():
    content = np.array([7, 7, 7, 0, 0, 5, 7], np.uint64)
    splits = np.array([0, 0, 0, 0, 1, 1, 1])
    first, second = exact_pairs(content, splits)
    assert set(map(frozenset, zip(first.tolist(), second.tolist(), strict=True))) == {
        frozenset(pair) for pair in [(0, 1), (0, 2), (0, 6), (1, 6), (2, 6)]
    }
    many = exact_pairs(np.full(5000, 9, np.uint64), np.zeros(5000, int))
    assert len(many[0]) == 4999


def test_pairs_are_merged_once_with_exact_ones_at_distance_zero():
    near = (np.array([1, 0, 2, 3]), np.array([0, 1, 3, 2]), np.array([0.2, 0.2, 0.1, 0.1]))
    found = merge_pairs((np.array([1]), np.array([0])), near)
    assert found.first.tolist() == [0, 2]
    assert found.is_exact.tolist() == [True, False]
    assert found.distance.tolist() == [0, 0.1]
    assert len(found.within(0.05)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_no_two_near_duplicates_are_kept_and_each_left_out_has_a_kept_one(seed):
    rng = np.random.default_rng(seed)
    pairs = np.unique(np.sort(rng.integers(0, 40, (60, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    found = Pairs(pairs[:, 0], pairs[:, 1], np.sort(rng.random(len(pairs))), np.zeros(len(pairs), bool))
    priority = rng.permutation(40)
    left_out = choose_kept(found, priority)
    listed = set(map(tuple, pairs.tolist()))
    assert all(one in left_out or other in left_out for one, other in listed)
    assert not set(left_out) & set(left_out.values())
    assert all((min(pair), max(pair)) in listed for pair in left_out.items())
    assert all(priority[kept] < priority[image] for image, kept in left_out.items())
