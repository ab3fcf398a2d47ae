"""Every loss equals its golden cases, values and gradients, in double and in single precision."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from golden import GOLDEN, golden_cases, golden_tensors
from torch import Tensor

from coarsecon.losses import (
    ancor_loss,
    ascl_byol_loss,
    ascl_loss,
    coins_loss,
    grafit_loss,
    maskcon_loss,
    moco_loss,
    supcon_loss,
)

Tensors = dict[str, Tensor]


def maskcon_family(case: dict[str, Any], x: Tensors) -> Tensor:
    q, k, labels, queue = x["q"], x["k"], x["labels"], x["queue"]
    if case["mode"] == "maskcon":
        return maskcon_loss(q, k, labels, queue, x["queue_labels"], w=case["w"], t0=case["t0"], t=case["t"])
    if case["mode"] == "grafit":
        return grafit_loss(q, k, labels, queue, x["queue_labels"], w=case["w"], t0=case["t0"])
    return coins_loss(q, k, x["class_logits"], labels, queue, w=case["w"], t0=case["t0"])


def hardneg_moco(case: dict[str, Any], x: Tensors) -> Tensor:
    return moco_loss(x["q"], x["k"], x["queue"], t=case["t"], hard_negatives=x["negatives"], alpha=case["alpha"])


def ascl(case: dict[str, Any], x: Tensors) -> Tensor:
    settings = {"num_neighbors": case["num_neighbors"], "kind": case["kind"]}
    if case["base"] == "moco":
        return ascl_loss(x["q"], x["k"], x["queue"], t1=case["t1"], t2=case["t2"], **settings)
    return ascl_byol_loss(x["q"], x["k"], t2=case["t2"], **settings)


def supcon(case: dict[str, Any], x: Tensors) -> Tensor:
    return supcon_loss(
        x["features"],
        x["labels"] if case["kind"] == "supcon" else None,
        mask=x["mask"] if case["kind"] == "mask" else None,
        temperature=case["temperature"],
        base_temperature=case["base_temperature"],
        contrast_mode=case["contrast_mode"],
    )


def ancor(case: dict[str, Any], x: Tensors) -> Tensor:
    settings = {"t": case["t"], "kind": case["kind"], "metric": case["metric"]}
    return ancor_loss(x["q"], x["k"], x["labels"], x["class_weights"], x["queue"], **settings)


FAMILIES: dict[str, Callable[[dict[str, Any], Tensors], Tensor]] = {
    "maskcon": maskcon_family, "hardneg_moco": hardneg_moco, "ascl": ascl, "supcon": supcon, "ancor": ancor,
}  # fmt: skip


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
@pytest.mark.parametrize("case", [case for family in FAMILIES for case in golden_cases(family)])
def test_value_and_gradients_are_golden(case, dtype, tolerance):
    x = {name: value.to(dtype) if value.is_floating_point() else value for name, value in golden_tensors(case).items()}
    learned = [name.removeprefix("grad_") for name in x if name.startswith("grad_")]
    assert learned
    for name in learned:
        x[name].requires_grad_()
    loss = FAMILIES[case["family"]](case, x)
    loss.backward()
    torch.testing.assert_close(loss, x["loss"], rtol=tolerance, atol=1e-12)
    for name in learned:
        expected, gradient = x[f"grad_{name}"], x[name].grad
        found = torch.zeros_like(expected) if gradient is None else gradient  # class logits matter to one form alone
        scale = max(expected.abs().max().item(), 1e-12)
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * scale)


def test_no_family_of_golden_cases_is_left_out():
    if not GOLDEN.exists():
        pytest.skip("the golden cases are not at hand")
    tests = Path(__file__).resolve().parents[1].rglob("test_*.py")
    asked = {family for path in tests for family in re.findall(r'golden_cases\("(\w+)"\)', path.read_text())}
    assert {case["family"] for case in json.loads((GOLDEN / "index.json").read_text())} == asked | FAMILIES.keys()
