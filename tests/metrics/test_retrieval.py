"""Retrieval metrics against golden cases, against a plain loop, and where labels or images are odd."""

from typing import Any

import pytest
import torch
from golden import golden_cases, golden_tensors
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.evaluation import map_at_r, r_precision, recall_at_k, retrieval_metrics
from coarsecon.metrics import query_ranks
from coarsecon.metrics.query_ranks import Search
from coarsecon.metrics.retrieval import (
    by_group,
    retrieval_values,
    summary,
    values_within,
)
from coarsecon.runtime.progress import Progress
from coarsecon.search import exact
from coarsecon.search.exact import l2_normalize


def naive(features: Tensor, labels: Tensor, ks: list[int]) -> dict[str, float]:
    """One query at a time, straight from the definitions."""
    features = features / features.norm(dim=1, keepdim=True)
    recalled: dict[int, list[bool]] = {k: [] for k in ks}
    average_precisions, r_precisions = [], []
    for i in range(len(labels)):
        if labels[i] < 0:
            continue
        others = [j for j in range(len(labels)) if j != i]
        others.sort(key=lambda j: -float(features[i] @ features[j]))
        hits = [bool(labels[j] == labels[i]) for j in others]
        for k in ks:
            recalled[k].append(any(hits[:k]))
        R = sum(hits)
        if R:
            precisions = [sum(hits[: r + 1]) / (r + 1) for r in range(R) if hits[r]]
            average_precisions.append(sum(precisions) / R)
            r_precisions.append(sum(hits[:R]) / R)
    return {
        **{f"recall@{k}": sum(values) / len(values) for k, values in recalled.items()},
        "map@r": sum(average_precisions) / len(average_precisions),
        "r_precision": sum(r_precisions) / len(r_precisions),
    }


def problem(count: int = 150, classes: int = 9, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features that tell their classes in part; classes of uneven size, some labels unknown."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(count, generator=generator) ** 2 * classes).long()
    centers = torch.randn(classes, 8, generator=generator, dtype=torch.float64)
    features = centers[labels] + torch.randn(count, 8, generator=generator, dtype=torch.float64)
    labels[torch.rand(count, generator=generator) < 0.1] = -1
    labels[0] = classes  # alone in its class
    return features, labels


@pytest.mark.parametrize("case", golden_cases("retrieval"))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_golden_case(case: dict[str, Any], dtype: torch.dtype) -> None:
    given = golden_tensors(case)
    features, labels = given["features"].to(dtype), given["labels"]
    metrics = retrieval_metrics(features, labels, case["k"])
    recall = given["recall"].tolist()
    assert [metrics[f"recall@{k}"] for k in case["k"]] == pytest.approx(recall, rel=1e-6)
    assert list(recall_at_k(features, labels, case["k"]).values()) == pytest.approx(recall, rel=1e-6)
    assert metrics["map@r"] == pytest.approx(float(given["map_at_r"]), rel=1e-6)
    assert metrics["r_precision"] == pytest.approx(float(given["r_precision"]), rel=1e-6)
    assert (metrics["queries"], metrics["classes"]) == (300, 25)


@pytest.mark.parametrize("seed", range(3))
def test_metrics_follow_the_definitions(seed: int) -> None:
    features, labels = problem(seed=seed)
    ks = [1, 3, 10, 1000]
    metrics = retrieval_metrics(features, labels, ks)
    expected = naive(features, labels, ks)
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert metrics["queries"] == int((labels >= 0).sum())
    assert metrics["classes"] == len(set(labels.tolist()) - {-1})
    assert recall_at_k(features, labels, ks) == pytest.approx({k: expected[f"recall@{k}"] for k in ks})
    assert map_at_r(features, labels) == pytest.approx(expected["map@r"])
    assert r_precision(features, labels) == pytest.approx(expected["r_precision"])


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = problem()
    whole = retrieval_metrics(features, labels)
    monkeypatch.setattr(query_ranks, "NEIGHBORS_AT_ONCE", 300)
    monkeypatch.setattr(exact, "BLOCK", 16)
    assert retrieval_metrics(features, labels) == pytest.approx(whole)
    monkeypatch.setattr(query_ranks, "NEIGHBORS_AMONG", 0)
    monkeypatch.setattr(query_ranks, "QUERIES_AT_ONCE", 7)
    monkeypatch.setattr(exact, "SCORES_AT_ONCE", 500)
    assert retrieval_metrics(features, labels) == pytest.approx(whole)


def test_the_neighbors_of_large_classes_are_never_held_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0

    def watched(queries: Tensor, gallery: Tensor, k: int, **options: Any) -> tuple[Tensor, Tensor]:
        nonlocal largest
        largest = max(largest, len(queries) * k)
        return exact.nearest(queries, gallery, k, **options)

    monkeypatch.setattr(query_ranks, "nearest", watched)
    monkeypatch.setattr(query_ranks, "NEIGHBORS_AMONG", 0)
    monkeypatch.setattr(query_ranks, "NEIGHBORS_AT_ONCE", 20_000)
    retrieval_metrics(torch.randn(600, 4), torch.arange(600) % 3)
    assert 10_000 < largest <= 20_000


@pytest.mark.parametrize("large", [5, 30, 1000])
def test_progress_counts_every_labeled_query_once(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    """Whether its classes are listed, ranked, or one of each: a search of many images is told of all the time."""

    pieces: list[int] = []

    class Counted(Progress):
        def advance(self, amount: int = 1, note: str = "") -> None:
            pieces.append(amount)

    monkeypatch.setattr(query_ranks, "LARGE_DEPTH", large)
    monkeypatch.setattr(query_ranks, "NEIGHBORS_AMONG", 0)
    monkeypatch.setattr(query_ranks, "QUERIES_AT_ONCE", 7)
    monkeypatch.setattr(query_ranks, "SCORES_AT_ONCE", 1000)
    coarse, fine = torch.arange(100) % 2, torch.arange(100) % 10
    coarse[90:], fine[80:] = -1, -1
    retrieval_values(
        Search.among(torch.randn(100, 4)), {"fine": (fine, fine), "coarse": (coarse, coarse)}, (1,), Counted()
    )
    assert sum(pieces) == 90
    assert len(pieces) >= 9


def test_a_query_is_excluded_by_identity_so_its_duplicate_is_found() -> None:
    features = torch.eye(4).repeat_interleave(2, dim=0)  # four pairs of equal images
    pairs = torch.arange(4).repeat_interleave(2)
    assert recall_at_k(features, pairs, [1]) == {1: 1.0}
    assert map_at_r(features, pairs) == 1.0
    crossed = torch.tensor([0, 1, 0, 1, 2, 3, 2, 3])  # a duplicate outranks every item of the class
    assert recall_at_k(features, crossed, [1]) == {1: 0.0}


def test_a_query_alone_in_its_class_is_a_miss_for_recall_and_left_out_of_map() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    metrics = retrieval_metrics(features, torch.tensor([0, 0, 1]), ks=[1])
    assert metrics == pytest.approx(
        {"recall@1": 2 / 3, "precision@1": 2 / 3, "map@r": 1.0, "r_precision": 1.0, "queries": 3, "classes": 2}
    )
    alone = retrieval_metrics(features, torch.arange(3), ks=[1])
    assert (alone["recall@1"], alone["map@r"], alone["r_precision"]) == (0, 0, 0)


def test_an_unlabeled_item_is_no_query_but_stands_in_the_way() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.2], [1.0, 0.1]])
    metrics = retrieval_metrics(features, torch.tensor([0, 0, -1]), ks=[1, 2])
    assert (metrics["recall@1"], metrics["recall@2"], metrics["queries"]) == (0.0, 1.0, 2)


def test_a_single_image_and_arrays_are_accepted() -> None:
    assert retrieval_metrics(torch.ones(1, 4), torch.zeros(1))["recall@1"] == 0
    features, labels = problem()
    assert recall_at_k(features.numpy(), labels.numpy(), [1]) == recall_at_k(features, labels, [1])


def test_labels_that_cannot_be_measured_are_refused() -> None:
    with pytest.raises(InputError, match="labels: no image has one"):
        retrieval_metrics(torch.ones(3, 4), torch.full((3,), -1))
    with pytest.raises(InputError, match="labels: there are 2 for 3 features"):
        recall_at_k(torch.ones(3, 4), torch.zeros(2), [1])


def test_the_metrics_are_the_means_of_what_each_query_scores():
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(60, 4, generator=generator)
    labels = torch.randint(-1, 7, (60,), generator=generator)
    labels[7] = 9  # alone in its class
    metrics, found = retrieval_metrics(features, labels), retrieval_values(Search.among(features), {"": (labels,) * 2})
    known = (labels >= 0).nonzero().flatten()
    assert len(known) == metrics["queries"]
    assert all(values[labels < 0].isnan().all() for values in found[""].values())
    scores = {name: values[known] for name, values in found[""].items()}
    for name, values in scores.items():
        assert metrics[name] == pytest.approx(values.nanmean().item(), abs=1e-6)
    place = known.tolist().index(7)
    assert scores["map@r"].isnan().nonzero().flatten().tolist() == [place]
    assert scores["recall@100"][place] == 0
    for place in (0, 11, 30):
        mine = int(known[place])
        order = torch.nn.functional.normalize(features) @ torch.nn.functional.normalize(features[mine], dim=0)
        order[mine] = -2
        nearest = labels[order.argsort(descending=True)[:5]] == labels[mine]
        assert scores["recall@5"][place] == float(nearest.any())


def naive_across(queries: Tensor, gallery: Tensor, labels: list[Tensor], own: list[int], k: int) -> dict[str, float]:
    """One query at a time among another set: recall, precision, mAP@R and R-precision."""
    scores: dict[str, list[float]] = {"recall": [], "precision": [], "map": [], "r": []}
    for i, query in enumerate(queries):
        if labels[0][i] < 0:
            continue
        others = [j for j in range(len(gallery)) if j != own[i]]
        others.sort(key=lambda j: -float(torch.cosine_similarity(query, gallery[j], dim=0)))
        hits = [bool(labels[1][j] == labels[0][i]) for j in others]
        scores["recall"].append(float(any(hits[:k])))
        scores["precision"].append(sum(hits[:k]) / k)
        if relevant := sum(hits):
            found = [r for r in range(relevant) if hits[r]]
            scores["map"].append(sum(sum(hits[: r + 1]) / (r + 1) for r in found) / relevant)
            scores["r"].append(len(found) / relevant)
    return {name: sum(values) / len(values) for name, values in scores.items()}


def across(seed: int = 0) -> tuple[Search, tuple[Tensor, Tensor]]:
    """Forty queries, ten of them among 60 gallery items, some labels unknown on either side and classes missing."""
    features, labels = problem(90, seed=seed)
    asked, among = torch.arange(40), torch.arange(30, 90)
    own = torch.where(asked >= 30, asked - 30, -1)
    return Search(l2_normalize(features[asked]), l2_normalize(features[among]), own), (labels[asked], labels[among])


@pytest.mark.parametrize("seed", range(3))
def test_one_set_searches_another_and_leaves_out_the_same_item_alone(seed: int) -> None:
    search, pair = across(seed)
    found = summary(retrieval_values(search, {"fine": pair}, [3])["fine"], pair[0])
    expected = naive_across(search.queries, search.gallery, list(pair), search.own.tolist(), 3)
    names = {"recall": "recall@3", "precision": "precision@3", "map": "map@r", "r": "r_precision"}
    assert {name: found[key] for name, key in names.items()} == pytest.approx(expected, rel=1e-5)
    assert found["queries"] == int((pair[0] >= 0).sum())


def test_levels_of_one_search_are_those_of_a_search_each() -> None:
    features, labels = problem()
    search = Search.among(features)
    levels = {"fine": (labels, labels), "coarse": (labels // 3, labels // 3)}
    together = retrieval_values(search, levels, [1, 5])
    for level, pair in levels.items():
        alone = retrieval_values(search, {level: pair}, [1, 5])[level]
        for name, values in alone.items():
            torch.testing.assert_close(together[level][name], values, equal_nan=True)


def test_within_a_group_is_a_search_among_its_members_alone() -> None:
    features, labels = problem(120)
    groups = torch.randint(-1, 3, (120,), generator=torch.Generator().manual_seed(5))
    search = Search.among(features)
    within = values_within(search, (labels, labels), (groups, groups), [1, 4])
    for group in range(3):
        mine = groups == group
        alone = retrieval_metrics(features[mine], labels[mine], [1, 4])
        found = summary(within, labels, mine)
        assert {name: found[name] for name in alone} == pytest.approx(alone)
        known = labels[mine][labels[mine] >= 0]
        shares = [(int((labels[mine] == label).sum()) - 1) / (int(mine.sum()) - 1) for label in known]
        assert found["chance"] == pytest.approx(sum(shares) / len(shares), rel=1e-5)
    assert within["recall@1"][groups < 0].isnan().all()
    rows = by_group({"within": within}, labels, groups, ["a", "b", "c"])
    assert sorted(row["name"] for row in rows) == ["a", "b", "c"]
    recalls = [row["within"]["recall@1"] for row in rows]
    assert recalls == sorted(recalls)
    assert sum(row["within"]["queries"] for row in rows) == int(((labels >= 0) & (groups >= 0)).sum())


@pytest.mark.parametrize("seed", range(2))
def test_pytorch_metric_learning_agrees_on_ties_and_duplicates(seed: int) -> None:
    accuracy = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    knn = pytest.importorskip("pytorch_metric_learning.utils.inference")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(200, 6, generator=generator)
    labels = torch.randint(0, 12, (200,), generator=generator)
    # Duplicates in pairs of one class, so that the order among equal scores makes no difference.
    features[1::2], labels[1::2] = features[::2], labels[::2]
    calculator = accuracy.AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"),
        k="max_bin_count", knn_func=knn.CustomKNN(distances.CosineSimilarity()), device=torch.device("cpu"),
    )  # fmt: skip
    theirs = calculator.get_accuracy(features, labels, features, labels, ref_includes_query=True)
    ours = retrieval_metrics(features, labels, [1])
    assert ours["precision@1"] == ours["recall@1"] == pytest.approx(theirs["precision_at_1"])
    assert ours["map@r"] == pytest.approx(theirs["mean_average_precision_at_r"], rel=1e-5)
    assert ours["r_precision"] == pytest.approx(theirs["r_precision"], rel=1e-5)


def test_torchmetrics_agrees_on_precision_and_hits() -> None:
    metrics = pytest.importorskip("torchmetrics.retrieval")
    search, pair = across()
    known = pair[0] >= 0
    scores = search.queries @ search.gallery.T
    scores[torch.arange(40)[search.own >= 0], search.own[search.own >= 0]] = -2
    target = (pair[0][:, None] == pair[1]) & (scores > -2)
    indexes = torch.arange(40)[:, None].expand_as(scores)
    given = (scores[known].flatten().float(), target[known].flatten())
    ours = summary(retrieval_values(search, {"": pair}, [5])[""], pair[0])
    for name, metric in {"precision@5": "RetrievalPrecision", "recall@5": "RetrievalHitRate"}.items():
        theirs = getattr(metrics, metric)(top_k=5, empty_target_action="neg")(*given, indexes=indexes[known].flatten())
        assert ours[name] == pytest.approx(float(theirs), rel=1e-5)
