"""Episodes against golden cases, and what every episode must be."""

from typing import Any

import numpy as np
import pytest
from golden import golden_cases, golden_tensors

from coarsecon.errors import InputError
from coarsecon.evaluation import sample_episode

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 30))


@pytest.mark.parametrize("case", golden_cases("episodes"))
def test_golden_case(case: dict[str, Any]) -> None:
    given = golden_tensors(case)
    coarse_to_fine = {int(coarse): fine for coarse, fine in case["coarse2fine"].items()}
    for number in range(len(given["support"])):
        episode = sample_episode(
            given["labels"].numpy(),
            number,
            ways=case["ways"],
            shots=case["shots"],
            queries=case["queries"],
            coarse_to_fine=coarse_to_fine if case["intra"] else None,
        )
        for name, drawn in episode._asdict().items():
            np.testing.assert_array_equal(drawn, given[name][number].numpy(), err_msg=f"{name} of {number}")


def test_support_and_query_share_classes_but_no_image() -> None:
    episode = sample_episode(LABELS, 3, ways=5, shots=4, queries=7)
    assert len(set(episode.support) | set(episode.query)) == 5 * (4 + 7)
    classes = LABELS[episode.support[::4]]
    assert len(set(classes)) == 5
    np.testing.assert_array_equal(LABELS[episode.support], classes[episode.support_y])
    np.testing.assert_array_equal(LABELS[episode.query], classes[episode.query_y])


def test_a_number_always_gives_the_same_episode_and_global_numpy_state_is_untouched() -> None:
    before = np.random.get_state()[1].copy()
    first, again, other = (sample_episode(LABELS, n, ways=5, shots=1, queries=5) for n in (7, 7, 8))
    np.testing.assert_array_equal(first.query, again.query)
    assert not np.array_equal(first.query, other.query)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("ways", ["all", 10, 99])
def test_all_way_takes_the_classes_in_order(ways: Any) -> None:
    episode = sample_episode(LABELS, 0, ways=ways, shots=2, queries=3)
    np.testing.assert_array_equal(LABELS[episode.support], np.repeat(np.arange(10), 2))


def test_intra_class_ways_are_children_of_one_coarse_class() -> None:
    families = {0: [0, 1, 2, 3, 4], 1: [5, 6, 7, 8, 9]}
    drawn = set()
    for number in range(20):
        episode = sample_episode(LABELS, number, ways=3, shots=1, queries=2, coarse_to_fine=families)
        coarse = set(LABELS[episode.support] // 5)
        assert len(coarse) == 1
        drawn |= coarse
    assert drawn == {0, 1}


def test_unlabeled_images_are_never_drawn() -> None:
    labels = np.where(np.arange(300) % 3 == 0, -1, LABELS)
    episode = sample_episode(labels, 0, ways="all", shots=5, queries=5)
    assert (labels[np.concatenate([episode.support, episode.query])] >= 0).all()


def test_a_class_with_too_few_images_is_named() -> None:
    with pytest.raises(InputError, match=r"class 0: has 30 images.* 20 support and 15 query"):
        sample_episode(LABELS, 0, ways="all", shots=20, queries=15)
    with pytest.raises(InputError, match=r"class 7: has 1 image, .* or set skip_small"):
        sample_episode(np.array([7]), 0, ways="all", shots=1, queries=1)
    with pytest.raises(InputError, match="fine labels: no image has one"):
        sample_episode(np.full(30, -1), 0, ways=5, shots=1, queries=1)
