"""The weighted vote against golden cases and a plain loop, and at the edges of its inputs."""

import math
from typing import Any

import pytest
import torch
from golden import golden_cases, golden_tensors
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.evaluation import knn_predict
from coarsecon.metrics import knn
from coarsecon.metrics.knn import knn_metrics, knn_predictions
from coarsecon.runtime.progress import Progress


def problem(classes: int = 7, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (200,), generator=generator)
    bank = torch.randn(200, 8, generator=generator, dtype=torch.float64)
    return bank, labels, torch.randn(50, 8, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("case", golden_cases("knn"))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_golden_case(case: dict[str, Any], dtype: torch.dtype) -> None:
    given = golden_tensors(case)
    predictions = knn_predict(
        given["bank"].to(dtype), given["bank_labels"], given["queries"].to(dtype), k=case["k"], t=case["t"]
    )
    assert torch.equal(predictions, given["pred"])


@pytest.mark.parametrize("k", [1, 15, 500])
def test_the_vote_follows_its_definition(k: int) -> None:
    bank, labels, queries = problem()
    predictions = knn_predict(bank, labels, queries, k=k, t=0.1)
    for query, predicted in zip(queries, predictions.tolist(), strict=True):
        cosines = torch.cosine_similarity(bank, query[None]).tolist()
        nearest = sorted(range(len(bank)), key=lambda i: -cosines[i])[:k]
        votes = [0.0] * 7
        for i in nearest:
            votes[labels[i]] += math.exp(cosines[i] / 0.1)
        assert predicted == max(range(7), key=votes.__getitem__)


def test_a_small_temperature_does_not_overflow() -> None:
    bank, labels, _ = problem()
    assert torch.equal(knn_predict(bank.float(), labels, bank.float(), t=1e-4), labels)


def test_many_classes_are_voted_on_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    bank, labels, queries = problem()
    labels = labels * 1000
    whole = knn_predict(bank, labels, queries)
    monkeypatch.setattr(knn, "VOTES_AT_ONCE", 20_000)
    assert torch.equal(knn_predict(bank, labels, queries), whole)


def test_progress_is_told_of_a_few_queries_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    bank, labels, queries = problem()
    pieces: list[int] = []

    class Counted(Progress):
        def advance(self, amount: int = 1, note: str = "") -> None:
            pieces.append(amount)

    monkeypatch.setattr(knn, "QUERIES_AT_ONCE", 20)
    knn_predictions(bank, labels, queries, ks=[5], ts=[0.1, 1.0], progress=Counted())
    assert pieces == [20, 20, 10]


def test_unlabeled_bank_items_have_no_vote() -> None:
    bank, labels, _ = problem()
    unlabeled = torch.where(torch.arange(200) < 100, labels, -1)
    expected = knn_predict(bank[:100], labels[:100], bank, k=1)
    assert torch.equal(knn_predict(bank, unlabeled, bank, k=1), expected)
    with pytest.raises(InputError, match="label"):
        knn_predict(bank, torch.full((200,), -1), bank)


def test_no_query_gives_no_prediction() -> None:
    bank, labels, queries = problem()
    assert knn_predict(bank, labels, queries[:0]).shape == (0,)


def test_one_pass_over_many_settings_equals_a_call_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    bank, labels, queries = problem()
    alone = {(k, t): knn_predict(bank, labels, queries, k=k, t=t) for k in (20, 1, 500) for t in (0.05, 1.0)}
    searches: list[int] = []
    nearest = knn.nearest

    def counted(queries: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
        searches.append(k)
        return nearest(queries, bank, k)

    monkeypatch.setattr(knn, "nearest", counted)
    together = knn_predictions(bank, labels, queries, ks=[20, 1, 500], ts=[0.05, 1.0])
    assert len(searches) == 1
    assert together.keys() == alone.keys()
    assert all(torch.equal(together[pair], alone[pair]) for pair in alone)
    assert not torch.equal(together[20, 0.05], together[1, 0.05])


def test_metrics_lead_with_the_papers_setting_and_count_labeled_queries() -> None:
    bank, labels, queries = problem()
    truth = torch.arange(50) % 7
    truth[10:] = torch.where(torch.arange(40) < 20, -1, truth[10:])
    values = knn_metrics(bank, labels, queries, truth, ks=[1, 200], ts=[1.0, 0.1])
    assert (values["k"], values["t"], values["queries"], values["classes"]) == (200, 0.1, 30, 7)
    known = truth >= 0
    right = knn_predict(bank, labels, queries)[known] == truth[known]
    assert values["top1"] == pytest.approx(right.double().mean().item())
    assert [(cell["k"], cell["t"]) for cell in values["grid"]] == [(1, 1.0), (1, 0.1), (200, 1.0), (200, 0.1)]
    assert knn_metrics(bank, labels, queries, truth, ks=[3, 1], ts=[0.1])["k"] == 3
    with pytest.raises(InputError, match="labels of the queries: no image has one"):
        knn_metrics(bank, labels, queries, torch.full((50,), -1), ks=[1], ts=[0.1])
    with pytest.raises(InputError, match="above 0"):
        knn_metrics(bank, labels, queries, truth, ks=[0], ts=[0.1])


@pytest.mark.parametrize("k", [1, 9, 40])
def test_scikit_learn_agrees_on_ties_and_duplicates(k: int) -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    bank, labels, queries = problem()
    bank, queries = (torch.nn.functional.normalize(part, dim=1) for part in (bank, queries))
    bank[1::2], labels[1::2] = bank[::2], labels[::2]  # duplicates, and so ties, within a class
    queries[:10] = bank[:10]

    def weights(distances: Any) -> Any:
        return torch.exp((1 - torch.as_tensor(distances)) / 0.07).numpy()

    theirs = neighbors.KNeighborsClassifier(k, metric="cosine", weights=weights, algorithm="brute")
    theirs.fit(bank.numpy(), labels.numpy())
    assert knn_predict(bank, labels, queries, k=k, t=0.07).tolist() == theirs.predict(queries.numpy()).tolist()
