"""Ranks of a large class: those of a full sort; among equal scores its items come last."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coarsecon.evaluation import retrieval
from coarsecon.evaluation.ranks import class_ranks, largest
from coarsecon.evaluation.retrieval import Search, map_at_r, retrieval_metrics, retrieval_values, values_within


def naive(scores: torch.Tensor, members: list[int], depth: int) -> list[int]:
    """Ranks in a full sort of one row, members behind their equals; what is beyond the depth as depth + 1."""
    order = sorted(range(len(scores)), key=lambda item: (-scores[item], item in members))
    return [min(place, depth + 1) for place, item in enumerate(order, start=1) if item in members]


@settings(max_examples=60, deadline=None)
@given(
    scores=arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(2, 24)), elements=st.integers(-3, 3)),
    data=st.data(),
)
def test_ranks_are_those_of_a_full_sort_whatever_is_equal(scores, data):
    rows = torch.from_numpy(scores)
    items = scores.shape[1]
    members = sorted(data.draw(st.sets(st.integers(0, items - 1), min_size=1)))
    depth = data.draw(st.integers(1, items))
    ranks = class_ranks(rows, torch.tensor(members), largest(rows, depth))
    expected = [naive(row, members, depth) for row in rows]
    found = [[*row, *[depth + 1] * (len(members) - len(row))] for row in ranks.tolist()]
    assert found == expected


@pytest.fixture
def labelled() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """90 features in three coarse and nine fine classes, some of unknown class."""
    draws = torch.Generator().manual_seed(0)
    features, fine = torch.randn(90, 8, generator=draws), torch.arange(90) % 9
    fine[::11] = -1
    return features, torch.where(fine < 0, -1, fine // 3), fine


def test_large_classes_score_as_they_do_by_lists_of_neighbours(labelled, monkeypatch):
    features, coarse, fine = labelled
    found = []
    for large in (2**20, 20, 1):  # none is large, coarse ones are, all are
        monkeypatch.setattr(retrieval, "LARGE_CLASS", large)
        search = Search.among(features)
        pairs = {"fine": (fine, fine), "coarse": (coarse, coarse)}
        values = retrieval_values(search, pairs, (1, 5, 50))
        values["within"] = values_within(search, (fine, fine), (coarse, coarse), (1, 5))
        found.append(values)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], equal_nan=True)


def test_one_set_searched_from_another_scores_alike_by_both_ways(labelled, monkeypatch):
    features, coarse, _ = labelled
    search = Search.among(features)
    apart = Search(search.queries[:40], search.gallery[40:], torch.full((40,), -1))
    both = []
    for large in (2**20, 1):
        monkeypatch.setattr(retrieval, "LARGE_CLASS", large)
        both.append(retrieval_values(apart, {"": (coarse[:40], coarse[40:])}, (1, 10)))
    torch.testing.assert_close(both[1], both[0], equal_nan=True)


def test_features_that_tell_nothing_apart_earn_nothing(monkeypatch):
    monkeypatch.setattr(retrieval, "LARGE_CLASS", 1)
    labels = torch.arange(40) % 2
    assert retrieval_metrics(torch.ones(40, 4), labels, (1,))["map@r"] == 0


def test_a_metric_that_looks_at_no_k_is_that_of_the_whole(monkeypatch):
    monkeypatch.setattr(retrieval, "LARGE_CLASS", 1)
    features, labels = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
    assert map_at_r(features, labels) == pytest.approx(retrieval_metrics(features, labels, (1,))["map@r"])
