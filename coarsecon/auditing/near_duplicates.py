"""Find near-duplicates by perceptual hashes, and by the features of a run if there is one.

Without a run, the distance of two images is the number of different bits of their hashes. With one, it is 1 minus the
cosine of their features, among pairs whose hashes are not too different: features of different objects of one class
may be as similar as those of two copies, but their pixels are not arranged in the same way.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from coarsecon.auditing.altered import ALTERATIONS
from coarsecon.auditing.duplicates import HASH_BITS, Pairs, exact_pairs, hash_neighbors, listed_pairs, merge_pairs
from coarsecon.auditing.images import DatasetImages
from coarsecon.auditing.neighbors import FeatureNeighbors
from coarsecon.auditing.scan import Scan, perceptual_hash
from coarsecon.run.facade import Run
from coarsecon.runtime.progress import Reporter

DEFAULT_BITS = 10
"""Default largest distance of near-duplicates without a run: on real photos, nearly no unrelated pair is as close."""
CANDIDATE_BITS = 16
"""Different bits up to which pairs are candidates, with and without a run."""
CANDIDATE_RATIO = 1.5
"""Distance of the features up to which pairs are candidates, relative to the largest distance of near-duplicates."""
COPIES_FOUND = 0.95
"""Fraction of the altered copies that the default distance with a run finds."""
MAX_TESTED = 64
"""Images of which altered copies are made."""


@dataclass(frozen=True)
class NearDuplicates:
    """Candidate pairs, and which of them are near-duplicates.

    Attributes:
        pairs: Candidate pairs by distance.
        near: Largest distance of near-duplicates.
        by: "hash" or "features".
        copies: Fraction of altered copies that are within the distance, by the kind of alteration.
        tested: Number of images of which copies were made.
    """

    pairs: Pairs
    near: float
    by: str
    copies: dict[str, float]
    tested: int

    @property
    def found(self) -> Pairs:
        """The near-duplicates."""
        return self.pairs.within(self.near)


def hash_duplicates(
    images: DatasetImages, scan: Scan, usable: NDArray[np.bool_], near: float | None, reporter: Reporter, seed: int
) -> NearDuplicates:
    """Find near-duplicates by perceptual hashes among the `usable` images bool [N], whose hashes mean something."""
    near = DEFAULT_BITS if near is None else near
    pairs = _pairs(images, scan, _hash_pairs(scan, usable, max(near, CANDIDATE_BITS), reporter))
    tested = _sample(usable, seed)
    distances = {}
    for kind, alter in ALTERATIONS.items():
        copies = [perceptual_hash(Image.fromarray(alter(images.picture(i).pixels)).convert("L")) for i in tested]
        distances[kind] = different_bits(scan.bits[tested], np.array(copies, np.uint64)).astype(np.float64)
    return NearDuplicates(pairs, near, "hash", _recalls(distances, near), len(tested))


def feature_duplicates(
    images: DatasetImages,
    scan: Scan,
    usable: NDArray[np.bool_],
    near: float | None,
    run: Run,
    features: Tensor,
    neighbors: FeatureNeighbors,
    reporter: Reporter,
    seed: int,
) -> NearDuplicates:
    """Find near-duplicates by the features [N, D] of a run and their neighbors.

    The default distance is the one within which most of the altered copies of some images are.
    """
    tested = _sample(usable, seed)
    distances = {}
    for kind, alter in ALTERATIONS.items():
        copies = run.store.images([alter(images.picture(i).pixels) for i in tested]) if tested else features[:0]
        distances[kind] = (1 - (features[tested] * copies).sum(1)).double().numpy()
    if near is None:
        near = _ceiled(np.quantile(np.concatenate(list(distances.values())), COPIES_FOUND)) if tested else 0.0
    limit = CANDIDATE_RATIO * near
    hashed = _hash_pairs(scan, usable, CANDIDATE_BITS, reporter)
    one, other, _ = listed_pairs(1 - neighbors.cosines, neighbors.indices, limit)
    is_similar = usable[one] & usable[other] & (different_bits(scan.bits[one], scan.bits[other]) <= CANDIDATE_BITS)
    one, other = np.concatenate([hashed[0], one[is_similar]]), np.concatenate([hashed[1], other[is_similar]])
    distance = _feature_distances(features, one, other)
    within = distance <= limit
    pairs = _pairs(images, scan, (one[within], other[within], distance[within]))
    return NearDuplicates(pairs, near, "features", _recalls(distances, near), len(tested))


def different_bits(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Count the different bits of hashes [P]."""
    return np.unpackbits((one ^ other).view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1, dtype=np.int64)


def _hash_pairs(
    scan: Scan, usable: NDArray[np.bool_], radius: float, reporter: Reporter
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    chosen = np.flatnonzero(usable)
    one, other, distance = hash_neighbors(scan.bits[chosen], min(radius, HASH_BITS), reporter=reporter)
    return chosen[one], chosen[other], distance


def _pairs(
    images: DatasetImages, scan: Scan, near: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
) -> Pairs:
    return merge_pairs(exact_pairs(scan.content, images.splits), near)


def _feature_distances(features: Tensor, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    pieces = zip(torch.from_numpy(one).split(2**14), torch.from_numpy(other).split(2**14), strict=True)
    return torch.cat([1 - (features[a] * features[b]).sum(1) for a, b in pieces]).double().numpy()


def _sample(usable: NDArray[np.bool_], seed: int) -> list[int]:
    return sorted(np.random.default_rng(seed).permutation(np.flatnonzero(usable))[:MAX_TESTED].tolist())


def _recalls(distances: dict[str, NDArray[np.float64]], near: float) -> dict[str, float]:
    return {kind: float((found <= near).mean()) for kind, found in distances.items() if len(found)}


def _ceiled(distance: float) -> float:
    """Return a distance rounded up to three decimals, which people can repeat."""
    return float(np.ceil(max(distance, 0) * 1000 - 1e-6) / 1000)
