"""The ranks of a class's items among all, where the class is too large to list that many nearest neighbours.

A list of the k nearest with their indices costs ten times what the k largest values alone cost, and the values tell
the ranks.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor


def class_ranks(scores: Tensor, members: Tensor, top: tuple[Tensor, Tensor]) -> Tensor:
    """The ranks [B, m], from 1, of the best of the `members` [M] in rows of scores [B, G], the best first.

    `top` is what `largest` gives of the scores: ranks are exact up to that depth, and depth + 1 stands for any beyond
    it; m is as many as some row has up to it, at least 1. Members rank behind all others of the same score, so that
    features that tell nothing apart earn nothing.
    """
    values, ties = top
    depth = values.shape[1]
    own = _upwards(scores[:, members])
    count = max(int((own >= values[:, :1]).sum(1).max()), 1)
    own = own[:, -count:].contiguous()
    at_least = depth - torch.searchsorted(values, own)
    at_least = torch.where(own == values[:, :1], ties[:, None], at_least)
    members_at_least = count - torch.searchsorted(own, own)
    place = torch.arange(count, 0, -1, device=own.device)  # in a row sorted upwards, the last member is the first
    ranks = (at_least - members_at_least + place).clamp(max=depth + 1)
    return torch.where(own < values[:, :1], depth + 1, ranks).flip(1)


def largest(scores: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """The `depth` largest values of each row of scores [B, G], upwards, and how many reach the least of them [B]."""
    if depth >= scores.shape[1]:
        return scores.sort(1).values, torch.full((len(scores),), scores.shape[1], device=scores.device)
    if scores.device.type == "cpu":
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            parts = list(pool.map(lambda rows: _partitioned(rows.numpy(), depth), _shares(scores)))
        found = torch.from_numpy(np.concatenate(parts))
    else:
        found = scores.topk(depth + 1).values.flip(1)
    values = found[:, 1:].contiguous()
    ties = torch.full((len(scores),), depth, device=scores.device)
    beyond = (found[:, 0] == values[:, 0]).nonzero().flatten()
    ties[beyond] = (scores[beyond] >= values[beyond, :1]).sum(1)
    return values, ties


def _upwards(rows: Tensor) -> Tensor:
    """The values of each row, the largest last; on the CPU NumPy sorts ten times faster than torch."""
    return torch.from_numpy(np.sort(rows.numpy(), axis=1)) if rows.device.type == "cpu" else rows.sort(1).values


def _shares(scores: Tensor) -> Iterator[Tensor]:
    """The rows in as many parts as there are threads."""
    yield from scores.tensor_split(min(torch.get_num_threads(), len(scores)))


def _partitioned(rows: np.ndarray, depth: int) -> np.ndarray:
    """The depth + 1 largest values of each row, upwards."""
    first = rows.shape[1] - depth - 1
    kept = np.partition(rows, first, axis=1)[:, first:]
    kept.sort(axis=1)
    return kept
