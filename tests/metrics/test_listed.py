"""Recall from lists equals that of complete searches, and obeys the same rule for ties."""

import pytest
import torch

from coarsecon.evaluation.pairing import shared_values
from coarsecon.metrics.listed import listed_recall, order_scores, recall_within
from coarsecon.metrics.query_ranks import Search
from coarsecon.runtime.distributed import Distributed
from coarsecon.search.exact import l2_normalize, nearest
from coarsecon.search.index import Neighbors

KS = [1, 5]


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    queries, gallery = (l2_normalize(torch.randn(count, 3, generator=generator)) for count in (40, 60))
    fine = tuple(torch.randint(-1, 8, (count,), generator=generator) for count in (40, 60))
    coarse = tuple(torch.where(column >= 0, column // 2, -1) for column in fine)
    gallery[10:30] = gallery[9]  # duplicates of several classes
    return queries, gallery, {"fine": fine, "coarse": coarse}


def test_recall_from_lists_is_that_of_the_search(case):
    queries, gallery, labels = case
    wanted = shared_values(Search(queries, gallery, torch.full((40,), -1)), labels, Distributed())
    scores, indices = nearest(queries, gallery, 50)
    for level, pair in labels.items():
        found = listed_recall(scores, indices, pair, KS)
        for name, values in found.items():
            torch.testing.assert_close(values, wanted[level][name], equal_nan=True)
    within = recall_within(scores, indices, labels["fine"], labels["coarse"], torch.full((40,), -1))
    torch.testing.assert_close(within, wanted["fine_within_coarse_all_queries"]["recall@1"], equal_nan=True)


def test_a_list_without_the_group_falls_back_to_its_nearest_item():
    fine, coarse = (
        (torch.tensor([3, 3]), torch.tensor([0, 0, 3, 2])),
        (torch.tensor([1, 1]), torch.tensor([0, 0, 1, 1])),
    )
    scores, indices = torch.tensor([[0.9, 0.8, 0.7]]).expand(2, 3), torch.tensor([[0, 1, -1]]).expand(2, 3)
    found = recall_within(scores, indices, fine, coarse, torch.tensor([2, 3]))
    assert found.tolist() == [1, 0]


def test_a_list_of_equal_scores_is_a_miss():
    hits = listed_recall(torch.ones(1, 3), torch.tensor([[0, 1, 2]]), (torch.tensor([0]), torch.tensor([0, 0, 0])), [1])
    assert hits["recall@1"].tolist() == [0]


def test_lists_in_another_order_count_by_their_places():
    found = Neighbors(torch.tensor([[0.5, 0.9, -torch.inf]]), torch.tensor([[1, 0, -1]]))
    assert order_scores(found).tolist() == [[0, -1, -torch.inf]]
