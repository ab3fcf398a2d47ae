"""Find near-duplicates by perceptual hashes, and by the features of a run if there is one.

The distance of two images is the number of different bits of their hashes, 0 to 64; with a run, plus 64 times 1 minus
the cosine of their features. Features recognize crops and other scales, but are as similar for different objects of a
class; hashes compare the arrangement of pixels, and are similar by chance. Both together are more precise than one.
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

DEFAULT_DISTANCE = 10.0
"""Default largest distance without a run: on photos, few unrelated pairs have hashes as similar."""
MAX_DEFAULT_DISTANCE = 24.0
"""Bound on the default largest distance with a run: beyond it, unrelated pairs become frequent on photos."""
COPIES_FOUND = 0.95
"""Fraction of the altered copies of each kind that the default distance with a run finds, if it is within the bound."""
CANDIDATE_BITS = 16
"""Different bits up to which pairs are candidates if features do not find them."""
CANDIDATE_RATIO = 4 / 3
"""Distance up to which pairs are candidates with a run, relative to the largest one of near-duplicates."""
MAX_TESTED = 64
"""Number of images of which altered copies are made."""


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
    near = DEFAULT_DISTANCE if near is None else near
    pairs = _pairs(images, scan, _hash_pairs(scan, usable, max(near, CANDIDATE_BITS), reporter))
    tested = _sample(usable, seed)
    distances = {kind: _copied_bits(images, scan, tested, kind) for kind in ALTERATIONS}
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

    By default, 95% of altered copies of each kind are within the distance.
    """
    tested = _sample(usable, seed)
    distances = {}
    for kind, alter in ALTERATIONS.items() if tested else ():
        copies = run.store.images([alter(images.picture(i).pixels) for i in tested])
        angles = (1 - (features[tested] * copies).sum(1)).double().numpy()
        distances[kind] = _copied_bits(images, scan, tested, kind) + HASH_BITS * angles
    if near is None:
        needed = max((float(np.quantile(each, COPIES_FOUND)) for each in distances.values()), default=0.0)
        near = min(float(np.ceil(needed)), MAX_DEFAULT_DISTANCE)
    limit = CANDIDATE_RATIO * near
    hashed = _hash_pairs(scan, usable, CANDIDATE_BITS, reporter)
    found = listed_pairs(1 - neighbors.cosines, neighbors.indices, limit / HASH_BITS)
    is_usable = usable[found[0]] & usable[found[1]]
    one, other = (np.concatenate([hashed[i], found[i][is_usable]]) for i in (0, 1))
    distance = different_bits(scan.bits[one], scan.bits[other]) + HASH_BITS * _angles(features, one, other)
    within = distance <= limit
    pairs = _pairs(images, scan, (one[within], other[within], distance[within]))
    return NearDuplicates(pairs, near, "features", _recalls(distances, near), len(tested))


def _copied_bits(images: DatasetImages, scan: Scan, tested: list[int], kind: str) -> NDArray[np.float64]:
    """Return the number of different bits between the hash of each tested image and that of its altered copy."""
    alter = ALTERATIONS[kind]
    copies = [perceptual_hash(Image.fromarray(alter(images.picture(i).pixels)).convert("L")) for i in tested]
    return different_bits(scan.bits[tested], np.array(copies, np.uint64)).astype(np.float64)


def different_bits(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Count the different bits of hashes [P]."""
    return np.unpackbits((one ^ other).view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1, dtype=np.int64)


def _hash_pairs(
    scan: Scan, usable: NDArray[np.bool_], radius: float, reporter: Reporter
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    chosen = np.flatnonzero(usable)
    if len(chosen) < 2:
        return chosen[:0], chosen[:0], np.zeros(0)
    one, other, distance = hash_neighbors(scan.bits[chosen], min(radius, HASH_BITS), reporter=reporter)
    return chosen[one], chosen[other], distance


def _pairs(
    images: DatasetImages, scan: Scan, near: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
) -> Pairs:
    return merge_pairs(exact_pairs(scan.content, images.splits), near)


def _angles(features: Tensor, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 1 minus the cosine of pairs of features, in bounded memory."""
    pieces = zip(torch.from_numpy(one).split(2**14), torch.from_numpy(other).split(2**14), strict=True)
    return torch.cat([1 - (features[a] * features[b]).sum(1) for a, b in pieces]).double().numpy().clip(min=0)


def _sample(usable: NDArray[np.bool_], seed: int) -> list[int]:
    return sorted(np.random.default_rng(seed).permutation(np.flatnonzero(usable))[:MAX_TESTED].tolist())


def _recalls(distances: dict[str, NDArray[np.float64]], near: float) -> dict[str, float]:
    return {kind: float((found <= near).mean()) for kind, found in distances.items() if len(found)}
