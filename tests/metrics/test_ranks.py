"""Ranks of a class, from all scores or from a list: those of a full sort; among equal scores its items come last."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coarsecon.evaluation import map_at_r, recall_at_k, retrieval_metrics
from coarsecon.metrics import query_ranks
from coarsecon.metrics.query_ranks import Search
from coarsecon.metrics.ranks import UNRANKED, largest, listed_ranks, member_ranks
from coarsecon.metrics.retrieval import retrieval_values, values_within

NOISE = 2e-7
"""What rounding does to equal cosines."""


def naive(scores: torch.Tensor, members: list[int], depth: int) -> list[int]:
    """Ranks in a full sort of one row, members behind their equals; up to the depth."""
    order = sorted(range(len(scores)), key=lambda item: (-round(float(scores[item])), item in members))
    return [place for place, item in enumerate(order, start=1) if item in members and place <= depth]


def within(depth: int, ranks: torch.Tensor) -> list[list[int]]:
    return [[rank for rank in row if rank <= depth] for row in ranks.tolist()]


@settings(max_examples=100, deadline=None)
@given(
    scores=arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(2, 24)), elements=st.integers(-3, 3)),
    data=st.data(),
)
def test_ranks_are_those_of_a_full_sort_whatever_is_equal(scores, data):
    noise = np.random.default_rng(0).uniform(-NOISE, NOISE, scores.shape).astype(np.float32)
    rows = torch.from_numpy(scores + noise)
    items = scores.shape[1]
    members = sorted(data.draw(st.sets(st.integers(0, items - 1), min_size=1)))
    depth = data.draw(st.integers(1, items))
    expected = [naive(row, members, depth) for row in rows]
    assert within(depth, member_ranks(rows, torch.tensor(members), largest(rows, depth))) == expected
    padded = torch.nn.functional.pad(rows, (0, 1), value=-torch.inf)
    listed, indices = padded.topk(depth + 1)
    ranks, undecided = listed_ranks(listed, torch.isin(indices, torch.tensor(members)))
    assert [row for row, is_open in zip(within(depth, ranks), undecided, strict=True) if not is_open] == [
        row for row, is_open in zip(expected, undecided, strict=True) if not is_open
    ]
    assert not undecided.any() or depth < items


def test_an_item_without_a_score_has_no_rank():
    scores = torch.tensor([[0.5, -torch.inf, 0.1]])
    assert member_ranks(scores, torch.tensor([1, 2]), largest(scores, 3)).tolist()[0][:2] == [2, UNRANKED]


@pytest.fixture
def labeled() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """90 features in three coarse and nine fine classes, some of unknown class."""
    draws = torch.Generator().manual_seed(0)
    features, fine = torch.randn(90, 8, generator=draws), torch.arange(90) % 9
    fine[::11] = -1
    return features, torch.where(fine < 0, -1, fine // 3), fine


def test_large_classes_score_as_they_do_by_lists_of_neighbors(labeled, monkeypatch):
    features, coarse, fine = labeled
    found = []
    for large in (2**20, 20, 2):  # none is large, coarse ones are, all are
        monkeypatch.setattr(query_ranks, "LARGE_DEPTH", large)
        search = Search.among(features)
        pairs = {"fine": (fine, fine), "coarse": (coarse, coarse)}
        values = retrieval_values(search, pairs, (1, 5, 50))
        values["within"] = values_within(search, (fine, fine), (coarse, coarse), (1, 5))
        found.append(values)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], equal_nan=True)


def test_one_set_searched_from_another_scores_alike_by_both_ways(labeled, monkeypatch):
    features, coarse, _ = labeled
    search = Search.among(features)
    apart = Search(search.queries[:40], search.gallery[40:], torch.full((40,), -1))
    both = []
    for large in (2**20, 2):
        monkeypatch.setattr(query_ranks, "LARGE_DEPTH", large)
        both.append(retrieval_values(apart, {"": (coarse[:40], coarse[40:])}, (1, 10)))
    torch.testing.assert_close(both[1], both[0], equal_nan=True)


@pytest.mark.parametrize("count", [40, 600])
@pytest.mark.parametrize("order", ["sorted", "mixed"])
def test_equal_features_earn_nothing_whatever_the_class_size_and_the_order_of_files(count, order):
    labels = torch.arange(count) % 2
    if order == "sorted":
        labels = labels.sort().values
    features = torch.tensor([0.3, 0.5, 0.7, 0.1]).repeat(count, 1)
    metrics = retrieval_metrics(features, labels, (1, count // 2))
    assert [metrics[name] for name in ("recall@1", "map@r", "r_precision")] == [0, 0, 0]
    assert recall_at_k(features, labels, [1, count // 2, count // 2 + 1]) == {1: 0, count // 2: 0, count // 2 + 1: 1}


@pytest.mark.parametrize("count", [40, 600])
def test_features_that_are_equal_up_to_rounding_are_equal(count):
    labels = torch.arange(count) % 2
    row = torch.nn.functional.normalize(torch.randn(512, generator=torch.Generator().manual_seed(0)), dim=0)
    noise = 3e-8 * torch.randn(count, 512, generator=torch.Generator().manual_seed(1))
    assert retrieval_metrics(row + noise, labels, (1,))["recall@1"] == 0


def test_a_precision_deeper_than_the_gallery_counts_no_query_as_its_own_neighbor():
    for count in (40, 600):
        metrics = retrieval_metrics(torch.randn(count, 4), torch.zeros(count), (1000,))
        assert metrics["precision@1000"] == pytest.approx((count - 1) / 1000)


def test_a_metric_that_looks_at_no_k_is_that_of_the_whole(monkeypatch):
    monkeypatch.setattr(query_ranks, "LARGE_DEPTH", 2)
    features, labels = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
    assert map_at_r(features, labels) == pytest.approx(retrieval_metrics(features, labels, (1,))["map@r"])
