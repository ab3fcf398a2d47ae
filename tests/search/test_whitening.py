"""Whitening in closed form."""

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from coarsecon.search.whitening import fit_transform, fit_whitening


@pytest.fixture
def rows() -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4)) + rng.normal(size=4))


def test_the_whitened_covariance_is_the_identity_without_shrinkage(rows):
    whitened = fit_whitening(rows, shrinkage=0)(rows)
    torch.testing.assert_close(whitened.mean(0), torch.zeros(4).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(whitened.T @ whitened / len(rows), torch.eye(4).double(), atol=1e-9, rtol=0)


def test_full_shrinkage_only_centers_and_scales(rows):
    whitened = fit_whitening(rows, shrinkage=1).normalized(rows)
    torch.testing.assert_close(whitened, fit_transform(rows, "center").normalized(rows))


def test_the_default_shrinkage_is_ledoit_and_wolfs(rows):
    few = rows[:12]
    values = np.linalg.inv(LedoitWolf().fit(few.numpy()).covariance_)
    matrix = fit_whitening(few).matrix
    np.testing.assert_allclose(matrix @ matrix, values, atol=1e-9)


def test_fewer_rows_than_dimensions_and_equal_rows_stay_finite():
    for rows in (torch.randn(3, 8), torch.ones(5, 8)):
        assert fit_whitening(rows, shrinkage=0).normalized(rows).isfinite().all()
        assert fit_whitening(rows).normalized(torch.randn(2, 8)).isfinite().all()


def test_the_result_keeps_the_precision_and_has_length_one(rows):
    found = fit_whitening(rows.float()).normalized(rows.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(200))
    assert fit_transform(rows, "none") is None
