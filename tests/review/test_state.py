"""The state of a review: each operation, undo and redo, and what is refused, against a naive replay."""

import copy
import random

import pytest
from reviews import naive_replay, operation, random_operation, small_proposal, snapshot

from coarsecon.errors import InputError
from coarsecon.review.operations import clean_name
from coarsecon.review.state import ReviewState


@pytest.fixture
def state() -> ReviewState:
    return ReviewState(small_proposal())


def do(state: ReviewState, op: str, **values: object) -> set[str]:
    return state.apply(operation(state.version, op, **values))


@pytest.mark.parametrize("seed", range(20))
def test_random_histories_give_what_a_naive_replay_gives(seed):
    rng, state = random.Random(seed), ReviewState(small_proposal())
    refused = 0
    for _ in range(120):
        before = snapshot(state)
        wanted = random_operation(state, rng)
        try:
            touched = state.apply(wanted)
        except InputError:
            refused += 1
            assert snapshot(state) == before
            continue
        after = snapshot(state)
        assert after == naive_replay(state.proposal, state.history)
        changed = {i for i in after["place"] if (after["place"][i], i in after["excluded"]) !=
                   (before["place"][i], i in before["excluded"])}  # fmt: skip
        assert {before["clusters"][before["place"][i]][0] for i in changed} <= touched
    assert refused < 80


@pytest.mark.parametrize("seed", range(5))
def test_undo_gives_exactly_the_earlier_state_and_redo_the_later_one(seed):
    rng, state, states = random.Random(seed), ReviewState(small_proposal()), []
    while len(states) < 30:
        wanted = random_operation(state, rng)
        if wanted.op in ("undo", "redo"):
            continue
        before = copy.deepcopy((state.images, state.clusters, state.members))
        try:
            state.apply(wanted)
        except InputError:
            continue
        states.append(before)
    last = copy.deepcopy((state.images, state.clusters, state.members))
    for before in reversed(states):
        do(state, "undo")
        assert (state.images, state.clusters, state.members) == before
    with pytest.raises(InputError, match="nothing to undo"):
        do(state, "undo")
    for _ in states:
        do(state, "redo")
    assert (state.images, state.clusters, state.members) == last
    with pytest.raises(InputError, match="nothing to redo"):
        do(state, "redo")


def test_a_merge_keeps_a_name_and_the_other_cluster_disappears(state):
    do(state, "name", cluster=1, name="gala")
    do(state, "merge", cluster=0, others=[1, 2])
    assert state.clusters[0].name == "gala"
    assert state.included(0) == list(range(12))
    assert state.present() == [0, 3, 4, 5]
    with pytest.raises(InputError, match="no cluster 1"):
        do(state, "name", cluster=1, name="x")


def test_a_moved_image_counts_as_checked_and_an_excluded_one_has_no_label(state):
    do(state, "name", cluster=0, name="gala")
    do(state, "move", images=[4, 5], cluster=0)
    do(state, "exclude", images=[0])
    assert [state.label(i) for i in (0, 1, 4, 6)] == ["", "gala", "gala", ""]
    assert state.images[4].is_checked
    assert not state.images[1].is_checked
    do(state, "restore", images=[0])
    assert state.label(0) == "gala"


def test_a_split_leaves_excluded_images_and_needs_every_other_one(state):
    do(state, "exclude", images=[3])
    with pytest.raises(InputError, match="each image of the cluster once"):
        do(state, "split", cluster=0, parts=[[0], [1]])
    do(state, "split", cluster=0, parts=[[1], [0, 2]])
    assert (state.members[0], state.members[6]) == ({1, 3}, {0, 2})
    assert state.clusters[6].coarse == "c0"


@pytest.mark.parametrize(
    ("op", "values", "problem"),
    [
        ("name", {"cluster": 9, "name": "x"}, "there is no cluster 9"),
        ("merge", {"cluster": 0, "others": [0]}, "merged with itself"),
        ("merge", {"cluster": 0, "others": [1, 1]}, "merged with itself"),
        ("merge", {"cluster": 0, "others": [3]}, "different coarse classes"),
        ("move", {"images": [0], "cluster": 3}, "different coarse classes"),
        ("move", {"images": [0, 12], "cluster": None}, "several coarse classes"),
        ("move", {"images": [0, 0], "cluster": 1}, "listed twice"),
        ("move", {"images": [99], "cluster": 1}, "no image 99"),
        ("restore", {"images": [0]}, "not excluded"),
        ("split", {"cluster": 0, "parts": [[0, 1], [2, 3, 4]]}, "each image of the cluster once"),
    ],
)
def test_what_does_not_fit_is_refused_without_a_change(state, op, values, problem):
    before = snapshot(state)
    with pytest.raises(InputError, match=problem):
        do(state, op, **values)
    with pytest.raises(InputError, match=problem):
        state.check(operation(0, op, **values))
    assert (snapshot(state), state.version) == (before, 0)


def test_a_change_against_another_version_is_refused(state):
    do(state, "reject", cluster=0)
    for version in (0, 2):
        with pytest.raises(InputError, match="against version"):
            state.apply(operation(version, "reject", cluster=1))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" Granny \t\n Smith ", "Granny Smith"), ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("a\x1b[31mb\x00", "a [31mb"), ("\u202eabc", "abc"), ("e\u0301", "é"), ("'=SUM(A1)", "=SUM(A1)"),
    ],
)  # fmt: skip
def test_names_lose_what_a_table_or_a_terminal_would_not_keep(text, name):
    assert clean_name(text) == name
    assert clean_name(name) == name


@pytest.mark.parametrize("text", ["", " \n", "\u200b", "NA", "null", "x" * 101])
def test_names_that_are_none_are_refused(text, state):
    with pytest.raises(InputError, match="name"):
        operation(0, "name", cluster=0, name=text)
