"""k-reciprocal re-ranking against the definitions of the paper, one pair at a time."""

import numpy as np
import pytest
import torch

from coarsecon.search.exact import nearest
from coarsecon.search.rerank import Reciprocity, Reranker


def naive_distances(query, gallery, k1, k2, weight) -> np.ndarray:
    """The distance of a query to each gallery item, from sets; the encodings of the gallery do not see the query."""
    points = [*gallery, query]
    count, q = len(gallery), len(gallery)
    cosine = np.array([[float(a @ b) for b in points] for a in points])

    def neighbors(p, k, others):
        """N(p, k): p and its k nearest among the others."""
        order = sorted((g for g in others if g != p), key=lambda g: -cosine[p, g])
        return {p, *order[:k]}

    def reciprocal(p, k, others):
        """R(p, k)."""
        return {g for g in neighbors(p, k, others) if p in neighbors(g, k, others)}

    def expanded(p, others):
        """R*(p, k1)."""
        found = reciprocal(p, k1, others)
        more = set(found)
        for g in found - {q}:
            half = reciprocal(g, round(k1 / 2), range(count))
            if len(half & found) >= 2 / 3 * len(half):
                more |= half
        return more

    def encoding(p, others):
        return np.array([np.exp(cosine[p, g] - 1) if g in expanded(p, others) else 0.0 for g in range(count)])

    def averaged(p, others):
        nearest_first = sorted((g for g in range(count) if g != p), key=lambda g: -cosine[p, g])[: k2 - 1]
        return np.mean([encoding(p, others), *(encoding(g, range(count)) for g in nearest_first)], axis=0)

    of_query = averaged(q, range(count + 1))
    distances = []
    for g in range(count):
        own = averaged(g, range(count))
        jaccard = 1 - sum(map(min, of_query, own)) / sum(map(max, of_query, own))
        distances.append(weight * (1 - cosine[q, g]) + (1 - weight) * jaccard)
    return np.array(distances)


def features(count, dim, seed):
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True)).float()


@pytest.mark.parametrize(("count", "settings"), [
    (6, Reciprocity(2, 1, 0.3)), (6, Reciprocity(3, 2, 0.3)), (40, Reciprocity(8, 3, 0.0)), (40, Reciprocity(10, 4, 1)),
    (3, Reciprocity(20, 6, 0.3)), (1, Reciprocity()),
])  # fmt: skip
def test_distances_are_those_of_the_definition(count, settings):
    gallery, queries = features(count, 3, 0), features(5, 3, 1)
    depth = min(count, 20)
    found = nearest(queries, gallery, depth)[1]
    distances, items = Reranker(gallery, settings).rerank(queries, found)
    for query in range(len(queries)):
        wanted = naive_distances(queries[query].numpy(), gallery.numpy(), *settings)
        assert sorted(items[query].tolist()) == sorted(found[query].tolist())
        np.testing.assert_allclose(distances[query], wanted[items[query]], atol=1e-6)
        assert distances[query].tolist() == sorted(distances[query].tolist())


def test_mutual_neighbors_move_before_a_nearer_item_of_another_group():
    group = torch.tensor([[1.0, 0.05], [1.0, 0.0], [1.0, -0.05]])
    hub = torch.tensor([[0.9, 0.5]])
    others = torch.tensor([[0.9, 0.52], [0.9, 0.54], [0.9, 0.56]])
    gallery = torch.cat([group, hub, others])
    query = torch.tensor([[1.0, 0.26]])
    found = nearest(torch.nn.functional.normalize(query), torch.nn.functional.normalize(gallery), 7)[1]
    assert set(Reranker(gallery, Reciprocity(3, 2, 0.0)).rerank(query, found)[1][0, :3].tolist()) == {0, 1, 2}


def test_lists_that_end_early_keep_their_end():
    gallery, queries = features(6, 3, 0), features(2, 3, 1)
    found = torch.tensor([[3, 1, -1], [0, -1, -1]])
    distances, items = Reranker(gallery, Reciprocity(2, 1)).rerank(queries, found)
    assert set(items[0, :2].tolist()) == {1, 3}
    assert items[:, 2].tolist() == [-1, -1]
    assert distances[1, 1:].isinf().all()


def test_results_do_not_depend_on_the_other_queries():
    gallery, queries = features(30, 3, 0), features(8, 3, 1)
    reranker, found = Reranker(gallery), nearest(queries, gallery, 10)[1]
    together = reranker.rerank(queries, found)[0]
    for query in range(8):
        torch.testing.assert_close(reranker.rerank(queries[query, None], found[query, None])[0][0], together[query])
