"""Retrieval metrics and the kNN vote against plain NumPy, on data with ties, duplicates and unknown labels."""

from typing import Any
from unittest.mock import patch

import numpy as np
import oracle
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coarsecon.evaluation import map_at_r, r_precision, recall_at_k, retrieval_metrics
from coarsecon.evaluation.pairing import shared_values
from coarsecon.metrics import query_ranks
from coarsecon.metrics.knn import knn_predict
from coarsecon.metrics.query_ranks import Search
from coarsecon.metrics.retrieval import RECALL_KS, retrieval_values, values_within
from coarsecon.runtime.distributed import Distributed
from coarsecon.search import exact
from coarsecon.search.exact import l2_normalize

DIM = 3
examples = settings(max_examples=150, deadline=None)


def rows(count: Any) -> st.SearchStrategy[np.ndarray]:
    """Features [N, 3] of few different values: many are equal, others have equal cosines with a query."""
    return count.flatmap(lambda n: arrays.arrays(np.float64, (n, DIM), elements=st.integers(-2, 2)))


@st.composite
def chunkings(draw: st.DrawFn) -> dict[tuple[Any, str], int]:
    """Sizes of chunks, and the depth from which on ranks are computed from all scores."""
    return {
        (query_ranks, "LARGE_DEPTH"): draw(st.sampled_from([2, 4, 256])),
        (query_ranks, "QUERIES_AT_ONCE"): draw(st.sampled_from([3, 4096])),
        (query_ranks, "NEIGHBORS_AT_ONCE"): draw(st.sampled_from([8, 2**22])),
        (query_ranks, "NEIGHBORS_AMONG"): draw(st.sampled_from([0, 2**24])),
        (query_ranks, "SCORES_AT_ONCE"): draw(st.sampled_from([16, 2**24])),
        (exact, "SCORES_AT_ONCE"): draw(st.sampled_from([16, 2**24])),
        (exact, "BLOCK"): draw(st.sampled_from([3, 1024])),
        (exact, "faiss"): draw(st.sampled_from([None, exact.faiss])),
    }


class Chunked:
    """The chunking in force for the length of the `with` block."""

    def __init__(self, sizes: dict[tuple[Any, str], Any]) -> None:
        self.patches = [patch.object(place, name, size) for (place, name), size in sizes.items()]

    def __enter__(self) -> None:
        for each in self.patches:
            each.start()

    def __exit__(self, *_: object) -> None:
        for each in self.patches:
            each.stop()


@st.composite
def problems(draw: st.DrawFn) -> dict[str, Any]:
    """Queries that search a gallery: among themselves, or in a set that holds some of them, or none, or is empty."""
    kind = draw(st.sampled_from(["mutual", "part", "apart"]))
    queries = draw(rows(st.integers(1, 12)))
    count = len(queries)
    levels = [draw(arrays.arrays(np.int64, count, elements=st.integers(-1, top))) for top in (3, 1)]
    if kind == "mutual":
        gallery, among, own = queries, levels, np.arange(count)
    else:
        gallery = draw(rows(st.integers(0 if kind == "apart" else 1, 12)))
        size = len(gallery)
        among = [draw(arrays.arrays(np.int64, size, elements=st.integers(-1, top))) for top in (3, 1)]
        own = np.full(count, -1)
        if kind == "part":
            places = draw(st.lists(st.integers(0, size - 1), unique=True, max_size=count))
            own[: len(places)] = places
            for i, place in enumerate(places):
                gallery[place] = queries[i]
                among[0][place], among[1][place] = levels[0][i], levels[1][i]
    ks = draw(st.lists(st.sampled_from([1, 2, 3, 5, 12, 40]), min_size=1, max_size=3, unique=True))
    return {"queries": queries, "gallery": gallery, "labels": levels, "among": among, "own": own, "ks": ks}


def searched(problem: dict[str, Any], dtype: torch.dtype) -> tuple[Search, dict[str, Any]]:
    """The search of a problem, and its labels as pairs of the levels fine and coarse."""
    queries = l2_normalize(torch.from_numpy(problem["queries"]).to(dtype))
    own = torch.from_numpy(problem["own"])
    gallery = queries
    if problem["gallery"] is not problem["queries"]:
        gallery = l2_normalize(torch.from_numpy(problem["gallery"]).to(dtype).reshape(-1, DIM))
    fine, coarse = (
        (torch.from_numpy(asked), torch.from_numpy(among))
        for asked, among in zip(problem["labels"], problem["among"], strict=True)
    )
    return Search(queries, gallery, own), {"fine": fine, "coarse": coarse}


def expected(problem: dict[str, Any], level: int, ks: Any, *, within: bool = False) -> dict[str, list[float]]:
    groups = (problem["labels"][1], problem["among"][1]) if within else None
    pair = (problem["labels"][level], problem["among"][level])
    return oracle.retrieval(problem["queries"], problem["gallery"], pair, problem["own"], ks, groups)


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, list[float]]) -> None:
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name].numpy(), values, rtol=1e-5, atol=1e-6, err_msg=name)


@examples
@given(problem=problems(), sizes=chunkings(), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_every_metric_of_every_query_at_every_level(problem, sizes, dtype):
    search, pairs = searched(problem, dtype)
    with Chunked(sizes):
        found = retrieval_values(search, pairs, problem["ks"])
    for level, name in enumerate(("fine", "coarse")):
        assert_same(found[name], expected(problem, level, problem["ks"]))


@examples
@given(problem=problems(), sizes=chunkings(), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_every_metric_within_coarse_classes(problem, sizes, dtype):
    search, pairs = searched(problem, dtype)
    assume(((problem["labels"][0] >= 0) & (problem["labels"][1] >= 0)).any())
    with Chunked(sizes):
        found = values_within(search, pairs["fine"], pairs["coarse"], problem["ks"])
    assert_same(found, expected(problem, 0, problem["ks"], within=True))


@examples
@given(problem=problems(), sizes=chunkings())
def test_the_public_metrics_of_one_set(problem, sizes):
    labels, ks = problem["labels"][0], problem["ks"]
    assume((labels >= 0).any())
    features, given_labels = torch.from_numpy(problem["queries"]).float(), torch.from_numpy(labels)
    alone = {**problem, "gallery": problem["queries"], "among": problem["labels"], "own": np.arange(len(labels))}
    means = {name: oracle.mean(values) for name, values in expected(alone, 0, ks).items()}
    with Chunked(sizes):
        metrics = retrieval_metrics(features, given_labels, ks)
        recall = recall_at_k(features, given_labels, ks)
        precise = map_at_r(features, given_labels), r_precision(features, given_labels)
    assert {name: metrics[name] for name in means} == pytest.approx(means, abs=1e-6)
    assert recall == pytest.approx({k: means[f"recall@{k}"] for k in ks})
    assert precise == pytest.approx((means["map@r"], means["r_precision"]), abs=1e-6)


class OneOfTwo(Distributed):
    """A rank of two that keeps what it would hand over."""

    world_size = 2

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def gather_parts(self, rows: torch.Tensor, count: int) -> torch.Tensor:
        return rows


@examples
@given(problem=problems())
def test_two_ranks_together_have_the_values_of_one(problem):
    search, pairs = searched(problem, torch.float32)
    whole = shared_values(search, pairs, Distributed())
    found = [shared_values(search, pairs, OneOfTwo(rank)) for rank in (0, 1)]
    for level, values in whole.items():
        for name, value in values.items():
            both = torch.cat([part[level][name] for part in found])[: len(value)]
            torch.testing.assert_close(both, value, equal_nan=True, rtol=1e-5, atol=1e-6)
    for level, name in enumerate(("fine", "coarse")):
        assert_same(whole[name], expected(problem, level, RECALL_KS))


@examples
@given(
    bank=rows(st.integers(1, 12)),
    queries=rows(st.integers(1, 4)),
    k=st.sampled_from([1, 2, 5, 12, 40]),
    t=st.sampled_from([0.05, 0.5]),
    data=st.data(),
)
def test_knn_votes(bank, queries, k, t, data):
    labels = data.draw(arrays.arrays(np.int64, len(bank), elements=st.integers(-1, 2)))
    assume((labels >= 0).any())
    votes = oracle.knn_votes(bank, labels, queries, k=k, t=t)
    found = knn_predict(
        torch.from_numpy(bank).float(), torch.from_numpy(labels), torch.from_numpy(queries).float(), k=k, t=t
    )
    first = (votes >= votes.max(1, keepdims=True) * (1 - 1e-4)).argmax(1)  # of equal votes, the first class
    assert found.tolist() == first.tolist()
