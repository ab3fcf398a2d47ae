"""Ranks of the items of a query's class, where equal scores put items of other classes first.

Cosines within `tie_tolerance` of each other are equal: an item of the class ranks after every item of another class
whose cosine is not lower by more than that. Features that separate nothing therefore earn nothing, in any order of the
files. Ranks are computed from the largest scores only, because a list of the k nearest with their indices costs ten
times as much as the k largest values.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from coarsecon.search.exact import tie_tolerance

UNRANKED = torch.iinfo(torch.int64).max
"""Rank of an item that is not among the nearest considered."""


class Largest(NamedTuple):
    """K largest values of rows of scores.

    Attributes:
        values: The values [B, K], ascending.
        reached: How many scores [B] of each row are at least as large as the smallest of them.
    """

    values: Tensor
    reached: Tensor


def largest(scores: Tensor, depth: int) -> Largest:
    """Return the `depth` largest values of each row of scores [B, G], or all if fewer."""
    if depth >= scores.shape[1]:
        return Largest(scores.sort(1).values, torch.full((len(scores),), scores.shape[1], device=scores.device))
    if scores.device.type == "cpu":
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            parts = list(pool.map(lambda rows: _partitioned(rows.numpy(), depth), _shares(scores)))
        found = torch.from_numpy(np.concatenate(parts))
    else:
        found = scores.topk(depth + 1).values.flip(1)
    values = found[:, 1:].contiguous()
    least = values[:, 0] - tie_tolerance(scores.dtype)
    reached = torch.full((len(scores),), depth, device=scores.device)
    further = (found[:, 0] >= least).nonzero().flatten()
    reached[further] = (scores[further] >= least[further, None]).sum(1)
    return Largest(values, reached)


def member_ranks(scores: Tensor, members: Tensor, top: Largest) -> Tensor:
    """Return the ranks [B, m], from 1, of the `members` [M] of a class in rows of scores [B, G], best first.

    Ranks are exact up to the depth of `top`, which is `largest` of the scores; all others, and those of items with
    score -inf, are `UNRANKED`. m is as large as any row needs, at least 1.
    """
    own = _ascending(scores[:, members])
    needed = (own >= top.values[:, :1] - tie_tolerance(scores.dtype)).sum(1)
    count = int(needed.max()) if len(members) else 0
    return _ranks(F.pad(own[:, own.shape[1] - count :], (1, 0), value=-torch.inf), top)


def listed_ranks(scores: Tensor, hits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ranks [B, m] of the `hits` [B, K] among the K largest scores [B, K], and which rows [B] are undecided.

    Scores are descending; ranks are exact up to K - 1, as in `member_ranks`. A row is undecided if a hit before the
    last place equals the last score, so that unlisted items may rank before it. A last score of -inf means that all are
    listed.
    """
    undecided = (hits[:, :-1] & (scores[:, :-1] - tie_tolerance(scores.dtype) <= scores[:, -1:])).any(1)
    own = scores.new_full((len(scores), max(1, int(hits.sum(1).max()))), -torch.inf)
    rows, columns = hits.nonzero(as_tuple=True)
    own[rows, hits.cumsum(1)[rows, columns] - 1] = scores[rows, columns]
    values = scores.flip(1)
    return _ranks(
        own.flip(1), Largest(values, torch.full_like(undecided, values.shape[1], dtype=torch.int64))
    ), undecided


def _ranks(own: Tensor, top: Largest) -> Tensor:
    """Return the ranks [B, m], best first, of a class with the scores own [B, m], ascending, among all scores."""
    lowest, tolerance = top.values[:, :1], tie_tolerance(own.dtype)
    least = own - tolerance
    place = torch.arange(own.shape[1], 0, -1, device=own.device)
    at_least = top.values.shape[1] - torch.searchsorted(top.values, least)
    members_at_least = own.shape[1] - torch.searchsorted(own, least)
    # Of scores that equal the least of the largest, some may not be among these: they are counted as one group.
    is_lowest = least <= lowest
    at_least = torch.where(is_lowest, top.reached[:, None], at_least)
    members_at_least = torch.where(is_lowest, (own >= lowest - tolerance).sum(1, keepdim=True), members_at_least)
    ranks = at_least - members_at_least + place
    return torch.where((own < lowest) | own.isneginf(), UNRANKED, ranks).flip(1)


def _ascending(rows: Tensor) -> Tensor:
    """Sort each row in ascending order; on the CPU NumPy is ten times faster than torch."""
    return torch.from_numpy(np.sort(rows.numpy(), axis=1)) if rows.device.type == "cpu" else rows.sort(1).values


def _shares(scores: Tensor) -> Iterator[Tensor]:
    """Split the rows into as many parts as there are threads."""
    yield from scores.tensor_split(min(torch.get_num_threads(), len(scores)))


def _partitioned(rows: np.ndarray, depth: int) -> np.ndarray:
    """Return the depth + 1 largest values of each row, ascending."""
    first = rows.shape[1] - depth - 1
    kept = np.partition(rows, first, axis=1)[:, first:]
    kept.sort(axis=1)
    return kept
