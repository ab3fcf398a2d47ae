"""Maps: two dimensions, clusters kept apart, with and without scikit-learn."""

import sys

import pytest
import torch

from coarsecon.evaluation.projection import principal_plane, project


def clusters() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    return torch.eye(8)[labels] + 0.05 * torch.randn(90, 8, generator=generator), labels


@pytest.mark.parametrize("with_sklearn", [True, False])
def test_clusters_stay_apart_on_the_map(monkeypatch, with_sklearn):
    if with_sklearn:
        pytest.importorskip("sklearn")
    else:
        monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    features, labels = clusters()
    points = project(features)
    assert points.shape == (90, 2)
    distances = torch.cdist(points.double(), points.double()).fill_diagonal_(torch.inf)
    assert (labels[distances.argmin(1)] == labels).float().mean() > 0.95


def test_the_principal_plane_keeps_the_largest_spread():
    features = torch.randn(50, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([5.0, 3.0, 0.1, 0.1, 0.1])
    points = principal_plane(features)
    assert points.var(0).sum() > 0.99 * features.var(0).sum()
