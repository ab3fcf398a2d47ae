"""Estimates of the number of clusters where the truth is known."""

import itertools

import pytest
import torch
from discovery.test_groups import blobs

from coarsecon.discovery.number import _best_with_total, estimate_counts
from coarsecon.errors import InputError
from coarsecon.search.exact import l2_normalize


@pytest.mark.parametrize("count", [2, 4, 6])
def test_the_number_of_distinct_clusters_is_found(count: int) -> None:
    classes = {label: blobs([40] * count, seed=label)[0] for label in range(3)}
    counts, evidence = estimate_counts(classes, numbers=range(1, 9))
    assert counts == dict.fromkeys(range(3), count)
    assert all(set(each.stability) == set(range(2, 9)) for each in evidence.values() if count > 2)
    assert all(each.stability[count] == pytest.approx(1, abs=0.1) for each in evidence.values())


def test_without_structure_there_is_one_cluster() -> None:
    features = l2_normalize(torch.randn(300, 32, generator=torch.Generator().manual_seed(0)))
    assert estimate_counts({0: features}, numbers=range(1, 7))[0] == {0: 1}


def test_a_range_limits_the_estimate_and_a_total_is_kept() -> None:
    classes = {label: blobs([40] * count, seed=label)[0] for label, count in enumerate((2, 5, 3))}
    counts, _ = estimate_counts(classes, numbers=range(3, 5))
    assert set(counts.values()) <= {3, 4}
    assert estimate_counts(classes, numbers=range(1, 9), total=10)[0] == {0: 2, 1: 5, 2: 3}
    assert sum(estimate_counts(classes, numbers=range(1, 9), total=13)[0].values()) == 13
    with pytest.raises(InputError, match="total: 40 clusters are not possible"):
        estimate_counts(classes, numbers=range(1, 9), total=40)


def test_few_or_equal_images_are_one_cluster() -> None:
    assert estimate_counts({0: blobs([3])[0], 1: torch.ones(40, 8) / 8**0.5}, numbers=range(1, 5))[0] == {0: 1, 1: 1}


def test_the_best_choice_with_a_total_is_that_of_all_choices() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = {label: {k: float(torch.rand((), generator=generator)) for k in range(1, 5)} for label in range(4)}
    for total in range(4, 17):
        choices = [each for each in itertools.product(range(1, 5), repeat=4) if sum(each) == total]
        best = max(choices, key=lambda each: sum(scores[label][k] for label, k in enumerate(each)))
        assert tuple(_best_with_total(scores, total).values()) == best
