"""Few-shot classifiers against the golden case, and by their definitions."""

from typing import Any

import pytest
import torch
from golden import golden_cases, golden_tensors

from coarsecon.metrics.classifiers import classify, logistic_probabilities

SUPPORT = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
Y = torch.tensor([3, 7])


@pytest.mark.parametrize("case", golden_cases("fewshot_classifiers"))
def test_golden_case(case: dict[str, Any]) -> None:
    given = golden_tensors(case)
    support = given["support"], given["support_y"], given["query"]
    torch.testing.assert_close(logistic_probabilities(*support), given["proba_lr"], rtol=0, atol=1e-9)
    for name, expected in (("logistic", "pred_lr"), ("nearest", "pred_nn"), ("cosine", "pred_cosine")):
        assert torch.equal(classify(name, *support), given[expected]), name


def test_cosine_ignores_lengths_and_nearest_does_not() -> None:
    support = torch.tensor([[10.0, 0.0], [0.5, 0.5]])
    query = torch.tensor([[1.0, 0.2]])
    assert classify("cosine", support, Y, query).tolist() == [3]
    assert classify("nearest", support, Y, query).tolist() == [7]
    long = torch.tensor([[1.0, 0.0], [10.0, 10.0]])
    assert classify("cosine", long, Y, query).tolist() == [3]


@pytest.mark.parametrize("name", ["logistic", "cosine", "nearest"])
def test_classes_keep_their_names_and_one_alone_is_certain(name: Any) -> None:
    query = torch.tensor([[0.1, 0.9], [0.9, 0.1]])
    assert classify(name, SUPPORT, Y, query).tolist() == [7, 3]
    assert classify(name, SUPPORT, torch.tensor([4, 4]), query).tolist() == [4, 4]
