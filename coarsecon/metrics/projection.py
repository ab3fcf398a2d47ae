"""Features to a map of two dimensions."""

from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coarsecon.errors import InputError
from coarsecon.runtime.extras import require_extra
from coarsecon.runtime.progress import Reporter
from coarsecon.search.exact import l2_normalize, nearest_others

Projection = Literal["tsne", "pca", "umap"]
PERPLEXITY = 30.0
ITERATIONS, REPORTED = 750, 50
"""openTSNE's own: 250 iterations exaggerated and 500 not; and how many of them pass between two reports."""


def default_projection() -> Projection:
    """t-SNE where a package for it is installed, else the principal plane."""
    return "tsne" if find_spec("openTSNE") or find_spec("sklearn") else "pca"


class Projected(NamedTuple):
    """Points [N, 2] float64, and how they were made, in words."""

    points: Tensor
    how: str


def project(
    features: Tensor,
    method: Projection = "tsne",
    *,
    perplexity: float | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Projected:
    """Map features [N, D], normalized here, to the plane; the same seed gives the same map on as many threads.

    `tsne` (van der Maaten & Hinton, 2008) is openTSNE's where that is installed, else scikit-learn's, begun from the
    principal plane with distances 2 - 2 cos; its `perplexity` is 30, or less where images are few. `pca` is the
    principal plane. `umap` (McInnes et al., 2018) is umap-learn's with its defaults.

    Raises:
        InputError: the package is not installed, or the perplexity does not suit so many images.
    """
    rows = l2_normalize(features).float().cpu()
    if method == "pca":
        return Projected(principal_plane(rows).double(), "PCA")
    if len(rows) < 5:
        raise InputError(f"{len(rows)} images are too few for {method}; use --method pca")
    if method == "umap":
        return Projected(_umap(rows, seed), "UMAP")
    most = (len(rows) - 1) / 3
    if perplexity is not None and not 1 <= perplexity <= most:
        raise InputError(f"--perplexity: {perplexity:g} does not suit {len(rows)} images; choose from 1 to {most:.0f}")
    chosen = perplexity or min(PERPLEXITY, most)
    return Projected(_tsne(rows, chosen, seed, reporter or Reporter()), f"t-SNE, perplexity {chosen:.4g}")


def principal_plane(features: Tensor) -> Tensor:
    """The first two principal components [N, 2] of features [N, D], the larger end of each direction positive."""
    centered = features - features.mean(0)
    _, _, directions = torch.linalg.svd(centered, full_matrices=False)
    two = torch.zeros(2, features.shape[1], dtype=features.dtype)
    two[: len(directions)] = directions[:2]
    ends = two.gather(1, two.abs().argmax(1, keepdim=True))
    return centered @ (two * ends.sign()).T


def _tsne(features: Tensor, perplexity: float, seed: int, reporter: Reporter) -> Tensor:
    start = principal_plane(features).double().numpy()
    start = 1e-4 * start / max(start[:, 0].std(), 1e-12)  # so small that the first steps decide alone
    try:
        import openTSNE  # noqa: F401
    except ImportError:
        return _sklearn_tsne(features, perplexity, seed, start)
    return _open_tsne(features, perplexity, seed, start, reporter)


def _open_tsne(
    features: Tensor, perplexity: float, seed: int, start: NDArray[np.float64], reporter: Reporter
) -> Tensor:
    """With exact neighbors of our own search: openTSNE's approximate ones differ from run to run."""
    from openTSNE import TSNE, affinity
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    count = len(features)
    threads = torch.get_num_threads()
    cosines, neighbors = nearest_others(features, min(count - 1, int(3 * perplexity)), reporter)
    distances = (2 - 2 * cosines).clamp(min=0).sqrt()
    graph = PrecomputedNeighbors(neighbors.numpy(), distances.double().numpy())
    with reporter.progress("t-SNE", ITERATIONS, "iterations") as progress:

        def tell(iteration: int, error: float, embedding: Any) -> None:
            progress.advance(REPORTED, note=f"KL {error:.2f}")

        affinities = affinity.PerplexityBasedNN(perplexity=perplexity, knn_index=graph, n_jobs=threads)
        tsne = TSNE(n_jobs=threads, random_state=seed, callbacks=tell, callbacks_every_iters=REPORTED)
        return torch.from_numpy(np.array(tsne.fit(affinities=affinities, initialization=start), dtype=np.float64))


def _sklearn_tsne(features: Tensor, perplexity: float, seed: int, start: NDArray[np.float64]) -> Tensor:
    manifold = require_extra("maps", "sklearn.manifold", needed_by="t-SNE", instead="use pca")
    tsne = manifold.TSNE(init=start.astype(np.float32), perplexity=perplexity, random_state=seed)
    return torch.from_numpy(tsne.fit_transform(features.numpy())).double()


def _umap(features: Tensor, seed: int) -> Tensor:
    threads = torch.get_num_threads()
    package = require_extra("umap", "umap", needed_by="UMAP", instead="use tsne or pca")
    neighbors = min(15, len(features) - 1)
    umap = package.UMAP(n_neighbors=neighbors, metric="cosine", init="pca", random_state=seed, n_jobs=1)
    try:
        return torch.from_numpy(umap.fit_transform(features.numpy())).double()
    finally:
        torch.set_num_threads(threads)  # Numba leaves the number that both share at its own
