"""Full precision inside the losses, and unit vectors without division by nothing."""

import pytest
import torch

from coarsecon.losses.precision import full_precision, l2_normalize


@full_precision
def product(a, b, *, c=None):
    """A product that autocast would lower."""
    return a @ b if c is None else a @ b @ c


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised_wherever_it_is_passed(dtype):
    a = torch.full((2, 2), 1.25, dtype=dtype)
    assert product(a, a).dtype == torch.float32
    assert product(a.float(), b=a.float(), c=a).dtype == torch.float32


def test_double_stays_double_and_labels_stay_labels():
    a = torch.ones(2, 2, dtype=torch.float64)
    assert product(a, a).dtype == torch.float64
    assert product(a.long(), a.long()).dtype == torch.int64


def test_autocast_is_off_inside_and_on_again_after():
    a = torch.randn(8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product(a, a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16


def test_the_wrapped_loss_keeps_its_name_and_words():
    assert product.__name__ == "product"
    assert product.__doc__ == "A product that autocast would lower."


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unit_vectors_have_length_one_and_zero_stays_zero_with_gradient_zero(dtype):
    vectors = torch.tensor([[3, 4], [0, 0], [1e-13, 0], [3e-6, 4e-6]], dtype=dtype).requires_grad_()
    out = l2_normalize(vectors)
    torch.testing.assert_close(out, torch.tensor([[0.6, 0.8], [0, 0], [0, 0], [0.6, 0.8]], dtype=dtype))
    (out * torch.tensor([1.0, 2.0], dtype=dtype)).sum().backward()
    assert vectors.grad.isfinite().all()
    assert (vectors.grad[1:3] == 0).all()
    torch.testing.assert_close((vectors.grad * vectors).sum(1), torch.zeros(4, dtype=dtype))


def test_what_is_not_a_number_stays_so():
    vectors = torch.tensor([[float("nan"), 1.0], [3.0, 4.0]])
    assert l2_normalize(vectors).isnan().all(1).tolist() == [True, False]
