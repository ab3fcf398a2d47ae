"""Every loss equals its golden cases, values and gradients, in double and in single precision."""

import pytest
import torch
from golden import golden_cases, golden_tensors

from coarsecon.losses import ancor_loss, ascl_byol_loss, ascl_loss, supcon_loss

PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])


def inputs(case, dtype, learned):
    tensors = {
        name: value.to(dtype) if value.is_floating_point() else value for name, value in golden_tensors(case).items()
    }
    tensors[learned] = tensors[learned].clone().requires_grad_()
    return tensors


def assert_equal(loss, tensors, learned, tolerance):
    loss.backward()
    expected = tensors[f"grad_{learned}"]
    torch.testing.assert_close(loss, tensors["loss"], rtol=tolerance, atol=1e-12)
    scale = max(expected.abs().max().item(), 1e-12)
    torch.testing.assert_close(tensors[learned].grad, expected, rtol=tolerance, atol=tolerance * scale)


@PRECISIONS
@pytest.mark.parametrize("case", golden_cases("ascl"))
def test_ascl(case, dtype, tolerance):
    tensors = inputs(case, dtype, "q")
    q, k, settings = tensors["q"], tensors["k"], {"num_neighbors": case["num_neighbors"], "kind": case["kind"]}
    if case["base"] == "moco":
        loss = ascl_loss(q, k, tensors["queue"], t1=case["t1"], t2=case["t2"], **settings)
    else:
        loss = ascl_byol_loss(q, k, t2=case["t2"], **settings)
    assert_equal(loss, tensors, "q", tolerance)


@PRECISIONS
@pytest.mark.parametrize("case", golden_cases("supcon"))
def test_supcon(case, dtype, tolerance):
    tensors = inputs(case, dtype, "features")
    loss = supcon_loss(
        tensors["features"],
        tensors["labels"] if case["kind"] == "supcon" else None,
        mask=tensors["mask"] if case["kind"] == "mask" else None,
        temperature=case["temperature"],
        base_temperature=case["base_temperature"],
        contrast_mode=case["contrast_mode"],
    )
    assert_equal(loss, tensors, "features", tolerance)


@PRECISIONS
@pytest.mark.parametrize("case", golden_cases("ancor"))
def test_ancor(case, dtype, tolerance):
    tensors = inputs(case, dtype, "q")
    loss = ancor_loss(
        tensors["q"], tensors["k"], tensors["labels"], tensors["class_weights"], tensors["queue"],
        t=case["t"], kind=case["kind"], metric=case["metric"],
    )  # fmt: skip
    assert_equal(loss, tensors, "q", tolerance)
