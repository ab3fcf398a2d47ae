"""Exact nearest neighbors by inner product, in bounded memory."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.errors import CoarseconError
from coarsecon.runtime.progress import Reporter

try:
    import faiss as faiss  # others take it from here
except ImportError:  # only a speed-up here: the results are the same without it
    faiss = None  # type: ignore[assignment]

SCORES_AT_ONCE = 2**24
"""Entries of the score matrix held in memory at a time (64 MiB in float32)."""

FAISS_LARGEST_K = 1024
"""Largest k for FAISS: beyond it a matrix product with torch.topk is faster and smaller."""

BLOCK = 1024
"""Rows and columns of a block of scores in symmetric search."""

RECOMPUTE = "remove the folder features of the run to compute them again"

TIE_ULPS = 8
"""Units in the last place of 1 by which equal cosines may differ."""


def l2_normalize(features: Tensor) -> Tensor:
    """Normalize the rows of features [N, D] to length one, without gradient and in at least float32.

    Raises:
        CoarseconError: A feature is not finite.
    """
    features = torch.as_tensor(features).detach()
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    if not features.sum().isfinite():
        raise CoarseconError(
            "features", "some are NaN or infinite: training diverged, or the cached features are damaged", RECOMPUTE
        )
    return F.normalize(features, dim=1)


def tie_tolerance(dtype: torch.dtype) -> float:
    """Return the difference up to which two cosines of this precision are equal.

    Cosines of the same two features differ in the last bits, depending on the shape of the matrix product.
    """
    return TIE_ULPS * torch.finfo(dtype).eps


@torch.no_grad()
def nearest(queries: Tensor, gallery: Tensor, k: int, *, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Find the `k` gallery items with the largest inner product with each query, best first.

    Uses FAISS on the CPU if installed, else torch; the matrix [Q, G] is never held completely. Scores are float32 for
    half precision and float64 for float64; equal scores come in no particular order.

    Args:
        queries: Finite features [Q, D]; after `l2_normalize` the scores are cosines.
        gallery: Finite features [G, D] on the same device.
        exclude: Index [Q] int64 of each query in the gallery, or -1; it is never among its neighbors, but a duplicate
            of it may be.

    Returns:
        Scores [Q, k'] and indices [Q, k'] int64, where k' is `k` or the largest number of items that a query can find.
        A row with fewer items ends with score -inf and index -1.

    Raises:
        CoarseconError: The dimensions differ.
    """
    if queries.shape[1] != gallery.shape[1]:
        raise CoarseconError(
            "features",
            f"dimension mismatch: queries have {queries.shape[1]} dimensions, the gallery has {gallery.shape[1]}",
            RECOMPUTE,
        )
    dtype = torch.promote_types(torch.promote_types(queries.dtype, gallery.dtype), torch.float32)
    queries = queries.detach().to(dtype).contiguous()
    gallery = gallery.detach().to(dtype).contiguous()
    if exclude is None or not (exclude >= 0).any():
        return _search(queries, gallery, min(k, len(gallery)))
    scores, indices = _without(*_search(queries, gallery, min(k + 1, len(gallery))), exclude)
    found = min(k, len(gallery) - int((exclude >= 0).all()))
    return scores[:, :found], indices[:, :found]


@torch.no_grad()
def nearest_others(features: Tensor, k: int, reporter: Reporter | None = None) -> tuple[Tensor, Tensor]:
    """Find the nearest neighbors of each of features [N, D] among the others; see `nearest`.

    On the CPU with FAISS each block of scores is used for its rows and for its columns, which halves the products; the
    neighbors of all rows are then in memory, 12 bytes each.
    """
    count = len(features)
    if faiss is None or features.device.type != "cpu" or features.dtype == torch.float64 or k > FAISS_LARGEST_K:
        return nearest(features, features, k, exclude=torch.arange(count, device=features.device))
    features = features.detach().float().contiguous()
    scores, indices = torch.zeros(count, min(k, count - 1)), torch.zeros(count, min(k, count - 1), dtype=torch.int64)
    if not scores.numel():
        return scores, indices
    heaps = faiss.float_minheap_array_t()
    heaps.nh, heaps.k = scores.shape
    heaps.val, heaps.ids = faiss.swig_ptr(scores.numpy()), faiss.swig_ptr(indices.numpy())
    heaps.heapify()
    blocks = features.split(BLOCK)
    pairs = len(blocks) * (len(blocks) + 1) // 2
    with (reporter or Reporter()).progress("neighbors", pairs, "parts") as progress:
        for row, rows in enumerate(blocks):
            for column, columns in enumerate(blocks[row:], row):
                block = products(rows, columns)
                if row == column:
                    block.fill_diagonal_(-torch.inf)
                else:
                    _offer(heaps, block.T.contiguous(), column * BLOCK, row * BLOCK)
                _offer(heaps, block, row * BLOCK, column * BLOCK)
                progress.advance()
    heaps.reorder()
    return scores, indices


def _offer(heaps: Any, block: Tensor, query: int, item: int) -> None:
    """Add scores [Q, G] of the items from number `item` on to those of the queries from number `query` on."""
    heaps.addn(block.shape[1], faiss.swig_ptr(block.numpy()), item, query, block.shape[0])


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
        torch.topk(products(queries[chunk], gallery), k, out=(scores[chunk], indices[chunk]))
    return scores, indices


def products(queries: Tensor, gallery: Tensor) -> Tensor:
    """Compute inner products [Q, G] in the precision of the features, also under autocast."""
    with torch.autocast(queries.device.type, enabled=False):
        return queries @ gallery.T


def _without(scores: Tensor, indices: Tensor, exclude: Tensor) -> tuple[Tensor, Tensor]:
    """Remove the excluded item from each row that has it; the rest moves up, and -inf and -1 end the row."""
    width = indices.shape[1]
    own = (indices == exclude[:, None]) & (exclude >= 0)[:, None]
    place = torch.where(own.any(1), own.int().argmax(1), width)
    columns = torch.arange(width, device=indices.device)
    kept = columns + (columns >= place[:, None])
    return F.pad(scores, (0, 1), value=-torch.inf).gather(1, kept), F.pad(indices, (0, 1), value=-1).gather(1, kept)
