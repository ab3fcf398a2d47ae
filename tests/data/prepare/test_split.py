"""Splits are stratified, seeded and never cut a set of images that belong together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coarsecon.data.prepare.split import assign_folds, assign_splits, hold_out

FRACTIONS = st.fixed_dictionaries({"test": st.floats(0.05, 0.3), "val": st.floats(0.05, 0.3)})
SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=12)


def classes_of(sizes):
    return np.repeat(np.arange(len(sizes)), sizes)


def counts(labels, names, split, classes):
    return np.bincount(labels[names == split], minlength=classes)


@settings(max_examples=60, deadline=None)
@given(SIZES, FRACTIONS, st.integers(0, 99))
def test_every_split_has_its_fraction_of_every_class_within_rounding(sizes, fractions, seed):
    labels = classes_of(sizes)
    names = assign_splits(labels, fractions, seed=seed)
    for split, fraction in fractions.items():
        found = counts(labels, names, split, len(sizes))
        assert np.all(np.abs(found - fraction * np.array(sizes)) < 1)
    assert counts(labels, names, "train", len(sizes)).min() >= 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(2, 30), min_size=1, max_size=12), st.floats(0.05, 0.3), st.integers(0, 99))
def test_a_split_has_its_fraction_of_all_images(sizes, fraction, seed):
    labels = classes_of(sizes)
    assert len(hold_out(labels, fraction, seed=seed)) == int(np.floor(fraction * len(labels) + 0.5))


def test_small_classes_that_would_all_round_to_zero_share_the_images_of_the_split():
    found = hold_out(classes_of([4] * 100), 0.1)
    assert len(found) == 40
    assert len(np.unique(found // 4)) == 40


GROUPED = st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 8), st.integers(0, 12)), min_size=1, max_size=60)


@settings(max_examples=80, deadline=None)
@given(GROUPED, FRACTIONS, st.integers(0, 99))
def test_images_of_a_group_and_duplicates_are_never_separated(rows, fractions, seed):
    labels, objects, hashes = (np.array(column) for column in zip(*rows, strict=True))
    groups = [[f"object {i}" if i else "" for i in objects], hashes]
    for found in (assign_splits(labels, fractions, groups=groups, seed=seed), assign_folds(labels, 3, groups=groups)):
        for column in (np.where(objects > 0, objects, 100 + np.arange(len(rows))), hashes):
            for value in np.unique(column):
                assert len(np.unique(found[column == value])) == 1


@settings(max_examples=60, deadline=None)
@given(GROUPED, FRACTIONS, st.integers(0, 99))
def test_every_known_class_stays_in_train(rows, fractions, seed):
    labels, objects, _ = (np.array(column) for column in zip(*rows, strict=True))
    names = assign_splits(labels, fractions, groups=[objects], seed=seed)
    assert set(labels[labels >= 0]) <= set(labels[names == "train"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=80), st.integers(0, 99), st.randoms())
def test_splits_and_folds_do_not_depend_on_the_order_of_the_images(labels, seed, random):
    labels, names = np.array(labels), [f"{i}.jpg" for i in range(len(labels))]
    order = list(range(len(labels)))
    random.shuffle(order)
    shuffled = [names[i] for i in order]
    for assign, what in ((assign_splits, {"test": 0.2, "val": 0.1}), (assign_folds, 3)):
        found = assign(labels, what, groups=[names], seed=seed)
        assert np.array_equal(assign(labels[order], what, groups=[shuffled], seed=seed), found[order])


def test_the_seed_determines_the_splits():
    labels = classes_of([40, 40])
    assert np.array_equal(hold_out(labels, 0.2, seed=1), hold_out(labels, 0.2, seed=1))
    assert not np.array_equal(hold_out(labels, 0.2, seed=1), hold_out(labels, 0.2, seed=2))


def test_every_image_is_held_out_by_some_seeds_and_not_by_others():
    drawn = np.concatenate([hold_out(classes_of([20, 20]), 0.25, seed=seed) for seed in range(200)])
    times = np.bincount(drawn, minlength=40)
    assert times.min() > 25
    assert times.max() < 75


@pytest.mark.parametrize("seed", range(5))
def test_new_images_move_few_old_ones(seed):
    names = [f"{i}.jpg" for i in range(330)]
    labels = np.arange(330) % 3
    fractions = {"test": 0.2, "val": 0.1}
    before = assign_splits(labels[:300], fractions, groups=[names[:300]], seed=seed)
    after = assign_splits(labels, fractions, groups=[names], seed=seed)
    assert np.count_nonzero(after[:300] != before) <= 15
    assert {(old, new) for old, new in zip(before, after, strict=False) if old != new} <= {
        ("train", "test"), ("test", "train"), ("train", "val"), ("val", "train"),
    }  # fmt: skip


def test_a_validation_split_does_not_change_the_test_split():
    labels = classes_of([30, 7, 50])
    alone = assign_splits(labels, {"test": 0.2})
    both = assign_splits(labels, {"test": 0.2, "val": 0.1})
    assert np.array_equal(both == "test", alone == "test")


def test_equal_groups_are_taken_whole_up_to_the_fraction():
    labels, objects = classes_of([100, 50]), np.arange(150) // 10
    names = assign_splits(labels, {"test": 0.2}, groups=[objects])
    assert counts(labels, names, "test", 2).tolist() == [20, 10]


def test_sessions_with_all_classes_are_split_as_sessions():
    labels, sessions = np.arange(120) % 6, np.arange(120) // 12
    names = assign_splits(labels, {"test": 0.2, "val": 0.1}, groups=[sessions])
    assert [np.count_nonzero(names == split) for split in ("train", "val", "test")] == [84, 12, 24]


def test_a_class_of_one_group_and_images_without_a_label_stay_in_train():
    labels = np.array([0] * 10 + [1] * 10 + [-1] * 10)
    names = assign_splits(labels, {"test": 0.4}, groups=[["one object"] * 10 + [""] * 20])
    assert set(names[:10]) == {"train"}
    assert np.count_nonzero(names[10:20] == "test") == 4
    assert set(names[20:]) == {"train"}


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(2, 7), st.integers(0, 99))
def test_folds_have_equal_parts_of_every_class(sizes, folds, seed):
    labels = classes_of(sizes)
    found = assign_folds(labels, folds, seed=seed)
    table = np.stack([np.bincount(found[labels == c], minlength=folds) for c in range(len(sizes))])
    assert np.all(table.max(1) - table.min(1) <= 1)


def test_classes_of_one_image_are_spread_over_the_folds():
    assert np.bincount(assign_folds(np.arange(50), 5)).tolist() == [10] * 5


def test_large_groups_fill_folds_first_and_small_ones_balance_them():
    labels, objects = np.zeros(60, int), np.repeat(np.arange(15), [10, 10, 10, 5, 5, 5, 5, 2, 2, 1, 1, 1, 1, 1, 1])
    assert np.bincount(assign_folds(labels, 5, groups=[objects])).tolist() == [12] * 5
