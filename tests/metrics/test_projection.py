"""Maps: two dimensions, clusters kept apart by every method and package, the same for the same seed."""

import sys
from contextlib import contextmanager

import pytest
import torch

from coarsecon.errors import InputError
from coarsecon.metrics.projection import principal_plane, project
from coarsecon.runtime.progress import Progress, Reporter
from coarsecon.search import exact


def clusters(count: int = 90) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    return torch.eye(8)[labels] + 0.05 * torch.randn(count, 8, generator=generator), labels


@pytest.mark.parametrize(
    ("method", "package"),
    [("tsne", "openTSNE"), ("tsne", "sklearn"), ("pca", "torch"), pytest.param("umap", "umap", marks=pytest.mark.slow)],
)
def test_clusters_stay_apart_on_the_map_and_the_seed_decides_it(monkeypatch, method, package):
    threads = torch.get_num_threads()
    pytest.importorskip(package)
    if package == "sklearn":
        monkeypatch.setitem(sys.modules, "openTSNE", None)
    features, labels = clusters()
    points, how = project(features, method, seed=3)
    assert points.shape == (90, 2)
    assert how.lower().replace("-", "").startswith(method)
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    assert (labels[distances.argmin(1)] == labels).double().mean() > 0.95
    assert torch.equal(project(features * 4, method, seed=3).points, points)
    assert torch.get_num_threads() == threads


def test_the_principal_plane_keeps_the_largest_spread_and_looks_one_way():
    features = torch.randn(50, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([5.0, 3.0, 0.1, 0.1, 0.1])
    points = principal_plane(features)
    assert points.var(0).sum() > 0.99 * features.var(0).sum()
    turned = principal_plane(features.flip(0)).flip(0)
    torch.testing.assert_close(turned, points, rtol=1e-4, atol=1e-4)
    assert principal_plane(features[:1]).tolist() == [[0, 0]]


def test_the_perplexity_follows_few_images_and_one_that_does_not_suit_them_is_refused():
    features, _ = clusters(30)
    assert project(features).how == "t-SNE, perplexity 9.667"
    assert project(features, perplexity=5).how == "t-SNE, perplexity 5"
    for perplexity in (0.5, 12):
        with pytest.raises(InputError, match="from 1 to 10"):
            project(features, perplexity=perplexity)
    with pytest.raises(InputError, match="at least 5 images; there are 4"):
        project(features[:4])


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match="pip install 'coarsecon"):
        project(clusters()[0], "umap")


def test_the_search_for_neighbors_tells_of_its_progress(monkeypatch):
    """Among 190,000 images it takes longer than all iterations."""
    pytest.importorskip("openTSNE")
    pytest.importorskip("faiss")
    told = []

    class Telling(Reporter):
        @contextmanager
        def progress(self, description, total=None, unit="images"):
            progress = Progress()
            progress.advance = lambda amount=1, note="": told.append((description, total))
            yield progress

    monkeypatch.setattr(exact, "BLOCK", 16)
    project(clusters()[0], reporter=Telling())
    assert told.count(("neighbors", 21)) == 21
