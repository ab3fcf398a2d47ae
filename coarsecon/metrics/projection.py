"""Projection of features to two dimensions: t-SNE, PCA and UMAP."""

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
DEFAULT_PERPLEXITY = 30.0
TSNE_ITERATIONS = 750
"""Iterations of openTSNE: 250 with early exaggeration and 500 without."""
REPORT_INTERVAL = 50
"""Iterations between two reports of progress."""


class Projected(NamedTuple):
    """Points [N, 2] float64 and a description of the method."""

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
    """Project features [N, D], normalized here; the same seed and number of threads give the same points.

    `tsne` (van der Maaten & Hinton, 2008) is that of openTSNE if installed, else of scikit-learn, initialized with the
    principal plane, with distances 2 - 2 cos. `pca` is the principal plane. `umap` (McInnes et al., 2018) is that of
    umap-learn with its defaults.

    Args:
        perplexity: Of t-SNE; 30 by default, or less where images are few.

    Raises:
        InputError: A package is missing, or the perplexity does not fit the number of images.
    """
    rows = l2_normalize(features).float().cpu()
    if method == "pca":
        return Projected(principal_plane(rows).double(), "PCA")
    if len(rows) < 5:
        raise InputError(method, f"needs at least 5 images; there are {len(rows)}", "use pca")
    if method == "umap":
        return Projected(_umap(rows, seed), "UMAP")
    most = (len(rows) - 1) / 3
    if perplexity is not None and not 1 <= perplexity <= most:
        raise InputError(
            "perplexity", f"{perplexity:g} does not fit {len(rows)} images", f"choose a value from 1 to {most:.0f}"
        )
    chosen = perplexity or min(DEFAULT_PERPLEXITY, most)
    return Projected(_tsne(rows, chosen, seed, reporter or Reporter()), f"t-SNE, perplexity {chosen:.4g}")


def principal_plane(features: Tensor) -> Tensor:
    """Return the first two principal components [N, 2] of features [N, D], each with its largest weight positive."""
    centered = features - features.mean(0)
    _, _, directions = torch.linalg.svd(centered, full_matrices=False)
    two = torch.zeros(2, features.shape[1], dtype=features.dtype)
    two[: len(directions)] = directions[:2]
    ends = two.gather(1, two.abs().argmax(1, keepdim=True))
    return centered @ (two * ends.sign()).T


def _tsne(features: Tensor, perplexity: float, seed: int, reporter: Reporter) -> Tensor:
    start = principal_plane(features).double().numpy()
    start = 1e-4 * start / max(start[:, 0].std(), 1e-12)  # small, so that the first steps are not biased by it
    try:
        import openTSNE  # noqa: F401
    except ImportError:
        return _sklearn_tsne(features, perplexity, seed, start)
    return _open_tsne(features, perplexity, seed, start, reporter)


def _open_tsne(
    features: Tensor, perplexity: float, seed: int, start: NDArray[np.float64], reporter: Reporter
) -> Tensor:
    """Run openTSNE on exact neighbors: its own approximate search differs from run to run."""
    from openTSNE import TSNE, affinity
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    count = len(features)
    threads = torch.get_num_threads()
    cosines, neighbors = nearest_others(features, min(count - 1, int(3 * perplexity)), reporter)
    distances = (2 - 2 * cosines).clamp(min=0).sqrt()
    graph = PrecomputedNeighbors(neighbors.numpy(), distances.double().numpy())
    with reporter.progress("t-SNE", TSNE_ITERATIONS, "iterations") as progress:

        def report(iteration: int, error: float, embedding: Any) -> None:
            progress.advance(REPORT_INTERVAL, note=f"KL {error:.2f}")

        affinities = affinity.PerplexityBasedNN(perplexity=perplexity, knn_index=graph, n_jobs=threads)
        tsne = TSNE(n_jobs=threads, random_state=seed, callbacks=report, callbacks_every_iters=REPORT_INTERVAL)
        return torch.from_numpy(np.array(tsne.fit(affinities=affinities, initialization=start), dtype=np.float64))


def _sklearn_tsne(features: Tensor, perplexity: float, seed: int, start: NDArray[np.float64]) -> Tensor:
    from sklearn.manifold import TSNE

    tsne = TSNE(init=start.astype(np.float32), perplexity=perplexity, random_state=seed)
    return torch.from_numpy(tsne.fit_transform(features.numpy())).double()


def _umap(features: Tensor, seed: int) -> Tensor:
    threads = torch.get_num_threads()
    package = require_extra("umap", "umap", needed_by="UMAP", instead="use tsne or pca")
    neighbors = min(15, len(features) - 1)
    umap = package.UMAP(n_neighbors=neighbors, metric="cosine", init="pca", random_state=seed, n_jobs=1)
    try:
        return torch.from_numpy(umap.fit_transform(features.numpy())).double()
    finally:
        torch.set_num_threads(threads)  # Numba changes the number that it shares with torch
