"""Exact nearest neighbours by inner product, in bounded memory."""

import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.errors import CoarseconError

try:
    import faiss as faiss  # others take it from here
except ImportError:  # only a speed-up here: the results are the same without it
    faiss = None  # type: ignore[assignment]

SCORES_AT_ONCE = 2**24
"""Entries of the score matrix that are held at one time (64 MiB in float32)."""

FAISS_LARGEST_K = 1024
"""Beyond this FAISS's candidate lists cost more time and memory than a matrix product with torch.topk."""


def unit(features: Tensor) -> Tensor:
    """`features` [N, D], a tensor or an array, with rows of length one: no gradient, at least float32.

    Raises CoarseconError when a feature is not finite, for such a one has no nearest neighbours.
    """
    features = torch.as_tensor(features).detach()
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    if not features.sum().isfinite():
        raise CoarseconError("some features are NaN or infinite: the training may have diverged")
    return F.normalize(features, dim=1)


@torch.no_grad()
def nearest(queries: Tensor, gallery: Tensor, k: int, *, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The `k` gallery items with the largest inner product with each query, best first.

    queries [Q, D] and gallery [G, D] are finite and on one device; pass both through `unit` and the score is
    the cosine. Half precision is raised to float32, float64 stays float64. exclude [Q] int64: each query's
    own place in the gallery (-1: none), which is never among its neighbours; a duplicate of it may be. Equal
    scores come in no particular order.

    Returns scores [Q, k'] and indices [Q, k'] int64, where k' is `k`, or the size of the gallery (less one
    with `exclude`) when that is smaller. Works through FAISS on the CPU where it is installed, else through
    torch; the matrix [Q, G] is never held whole.
    """
    dtype = torch.promote_types(torch.promote_types(queries.dtype, gallery.dtype), torch.float32)
    queries = queries.detach().to(dtype).contiguous()
    gallery = gallery.detach().to(dtype).contiguous()
    if exclude is None or len(gallery) == 0:
        return _search(queries, gallery, min(k, len(gallery)))
    return _drop(*_search(queries, gallery, min(k + 1, len(gallery))), exclude)


def _search(queries: Tensor, gallery: Tensor, k: int) -> tuple[Tensor, Tensor]:
    on_cpu = queries.device.type == "cpu"
    if faiss is not None and on_cpu and queries.dtype == torch.float32 and 0 < k <= FAISS_LARGEST_K:
        found = faiss.knn(queries.numpy(), gallery.numpy(), k, metric=faiss.METRIC_INNER_PRODUCT)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])
    scores = queries.new_empty(len(queries), k)
    indices = torch.empty(len(queries), k, dtype=torch.int64, device=queries.device)
    rows = max(1, SCORES_AT_ONCE // max(1, len(gallery)))
    for start in range(0, len(queries), rows):
        chunk = slice(start, start + rows)
        torch.topk(queries[chunk] @ gallery.T, k, out=(scores[chunk], indices[chunk]))
    return scores, indices


def _drop(scores: Tensor, indices: Tensor, exclude: Tensor) -> tuple[Tensor, Tensor]:
    """Take one column out of each row: the excluded item, or the last one where that item is not present."""
    drop = indices == exclude[:, None]
    drop[~drop.any(1), -1] = True
    shape = (len(indices), indices.shape[1] - 1)
    return scores[~drop].view(shape), indices[~drop].view(shape)
