"""Fusion of features and of ranked lists, against their formulas."""

import numpy as np
import torch

from coarsecon.search.fusion import concatenate, fuse_ranks


def test_the_cosine_of_concatenated_features_is_a_weighted_mean():
    one, other = torch.randn(5, 3), torch.randn(5, 7)
    joined = concatenate([one, other], [1.0, 2.0])
    cosine = torch.nn.functional.cosine_similarity
    wanted = (cosine(one[0], one[1], dim=0) + 4 * cosine(other[0], other[1], dim=0)) / 5
    torch.testing.assert_close(joined[0] @ joined[1], wanted)


def test_fused_scores_are_sums_of_reciprocal_ranks():
    rng = np.random.default_rng(0)
    lists = [np.stack([rng.permutation(12)[:6] for _ in range(4)]) for _ in range(3)]
    lists[1][2, 4:] = -1
    weights = [1.0, 2.0, 0.5]
    scores, items = fuse_ranks([torch.from_numpy(found) for found in lists], weights)
    for query in range(4):
        wanted: dict[int, float] = {}
        for found, weight in zip(lists, weights, strict=True):
            for rank, item in enumerate(found[query].tolist(), 1):
                if item >= 0:
                    wanted[item] = wanted.get(item, 0) + weight / (60 + rank)
        got = [(item, score) for item, score in zip(items[query].tolist(), scores[query].tolist(), strict=True)]
        assert {item for item, _ in got if item >= 0} == wanted.keys()
        for item, score in got:
            np.testing.assert_allclose(score, wanted.get(item, 0), rtol=1e-6)
        assert [score for _, score in got] == sorted((score for _, score in got), reverse=True)


def test_a_single_list_keeps_its_order():
    found = torch.tensor([[4, 2, 7, -1]])
    assert fuse_ranks([found], [1.0])[1].tolist() == found.tolist()
