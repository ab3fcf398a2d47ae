"""Find near-duplicates among candidate pairs of images, and choose which of them to keep."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coarsecon.runtime.progress import Reporter
from coarsecon.search.exact import nearest_others

HASH_BITS = 64
MAX_HASH_NEIGHBORS = 32
"""Near-duplicates of an image that are listed at most, in addition to exact ones."""


@dataclass(frozen=True)
class Pairs:
    """P pairs of similar images, by distance.

    Attributes:
        first: Image numbers, int64 [P], below those of `second`.
        second: Image numbers, int64 [P].
        distance: Distances, float64 [P], ascending.
        is_exact: True where the pixels are equal, bool [P].
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: NDArray[np.float64]
    is_exact: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.first)

    def within(self, distance: float) -> "Pairs":
        """Return the exact duplicates and the pairs up to a distance."""
        return self.take(self.is_exact | (self.distance <= distance))

    def take(self, chosen: NDArray[np.bool_]) -> "Pairs":
        """Return the pairs where `chosen` bool [P] is true."""
        return Pairs(self.first[chosen], self.second[chosen], self.distance[chosen], self.is_exact[chosen])


def hash_neighbors(
    bits: NDArray[np.uint64], radius: float, *, reporter: Reporter | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Find pairs of 64-bit hashes [N] with at most `radius` different bits.

    The nearest vectors of signs are the nearest hashes: the inner product of two is 64 minus twice their distance.

    Returns:
        Numbers of both images and distances, each [P].
    """
    signs = np.unpackbits(bits.view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32) * 2 - 1
    scores, indices = nearest_others(torch.from_numpy(signs), MAX_HASH_NEIGHBORS, reporter)
    return listed_pairs((HASH_BITS - scores) / 2, indices, radius)


def listed_pairs(
    distances: Tensor, indices: Tensor, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the pairs (image, neighbor, distance) of lists of neighbors [N, K] up to a distance."""
    rows, places = torch.nonzero((distances <= radius) & (indices >= 0), as_tuple=True)
    return rows.numpy(), indices[rows, places].numpy(), distances[rows, places].double().numpy()


def exact_pairs(content: NDArray[np.uint64], splits: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair each image with one of equal pixels (hashes [N]; 0: unknown) in each split that has any.

    A set of n equal images in s splits gives fewer than n s pairs.
    """
    sets: dict[int, list[int]] = defaultdict(list)
    for image in np.flatnonzero(_is_repeated(content)).tolist():
        sets[int(content[image])].append(image)
    pairs = []
    for members in sets.values():
        firsts = {int(splits[image]): image for image in reversed(members)}
        pairs += [(first, image) for image in members for first in firsts.values() if first != image]
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _is_repeated(content: NDArray[np.uint64]) -> NDArray[np.bool_]:
    _, numbers, counts = np.unique(content, return_inverse=True, return_counts=True)
    return (counts[numbers] > 1) & (content != 0)


def merge_pairs(
    exact: tuple[NDArray[np.int64], NDArray[np.int64]],
    near: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
) -> Pairs:
    """Return all pairs once, in the order of distances; that of equal pixels is 0."""
    one, other = np.concatenate([exact[0], near[0]]), np.concatenate([exact[1], near[1]])
    first, second = np.minimum(one, other), np.maximum(one, other)
    is_exact = np.arange(len(one)) < len(exact[0])
    distance = np.where(is_exact, 0, np.concatenate([np.zeros(len(exact[0])), near[2]]).clip(min=0))
    order = np.lexsort((second, first, ~is_exact, distance))
    _, once = np.unique(np.stack([first, second])[:, order], axis=1, return_index=True)
    order = order[np.sort(once)]
    return Pairs(first[order], second[order], distance[order], is_exact[order])


def choose_kept(pairs: Pairs, priority: NDArray[np.int64]) -> dict[int, int]:
    """Choose images to leave out, so that of each pair at most one image is kept.

    Images are visited in the order of `priority` [N], the smallest first; one is left out if a kept image is its
    near-duplicate. A series in which only neighbors are similar therefore keeps every second image or so.

    Returns:
        The kept near-duplicate of each image that is left out: the nearest one.
    """
    near: dict[int, list[int]] = defaultdict(list)
    for one, other in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):  # the nearest pairs first
        near[one].append(other)
        near[other].append(one)
    left_out: dict[int, int] = {}
    kept: set[int] = set()
    for image in sorted(near, key=lambda image: (int(priority[image]), image)):
        found = next((other for other in near[image] if other in kept), None)
        if found is None:
            kept.add(image)
        else:
            left_out[image] = found
    return left_out
