"""How well clusters match known classes: NMI, ARI and the accuracy of the best naming of the clusters."""

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor


def agreement(clusters: Tensor, labels: Tensor) -> dict[str, float | int] | None:
    """Compare clusters [N] with labels [N]; a negative cluster or label leaves its image out, None when all are.

    - nmi: mutual information over the mean of the two entropies (Strehl & Ghosh, 2002; arithmetic mean).
    - ari: pairs put together by both, adjusted for chance (Hubert & Arabie, 1985).
    - accuracy: the share of images whose cluster bears their class, when every cluster is named after a class of
      its own so that this share is largest (Hungarian algorithm; Kuhn, 1955).

    Also counts what is behind them: "images", "classes" and "clusters".
    """
    known = ((clusters >= 0) & (labels >= 0)).numpy()
    if not known.any():
        return None
    counts = contingency(clusters.numpy()[known], labels.numpy()[known])
    found: dict[str, float | int] = {"nmi": nmi(counts), "ari": ari(counts), "accuracy": accuracy(counts)}
    return {**found, "images": int(counts.sum()), "classes": counts.shape[1], "clusters": counts.shape[0]}


def contingency(clusters: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """How many images [K, C] each of the K clusters shares with each of the C classes."""
    rows, columns = (np.unique(values, return_inverse=True)[1] for values in (clusters, labels))
    counts = np.zeros((rows.max() + 1, columns.max() + 1), np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts


def nmi(counts: npt.NDArray[np.int64]) -> float:
    """Normalized mutual information of a table [K, C] of counts; 1 where both sides are of one part."""
    joint = counts / counts.sum()
    rows, columns = joint.sum(1), joint.sum(0)
    mean = (_entropy(rows) + _entropy(columns)) / 2
    return 1.0 if mean == 0 else max(0.0, _entropy(rows) + _entropy(columns) - _entropy(joint)) / mean


def ari(counts: npt.NDArray[np.int64]) -> float:
    """Adjusted Rand index of a table [K, C] of counts; 1 where both sides are of one part, or all apart."""
    together = _pairs(counts)
    rows, columns, every = _pairs(counts.sum(1)), _pairs(counts.sum(0)), _pairs(counts.sum())
    expected = rows * columns / every if every else 0.0
    largest = (rows + columns) / 2
    return 1.0 if largest == expected else float((together - expected) / (largest - expected))


def accuracy(counts: npt.NDArray[np.int64]) -> float:
    """The largest share of counts [K, C] that a one-to-one naming of rows by columns covers."""
    from scipy.optimize import linear_sum_assignment

    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / counts.sum())


def _entropy(shares: npt.NDArray[np.float64]) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def _pairs(counts: npt.NDArray[np.int64]) -> float:
    """The number of pairs within each count, summed."""
    return float((counts.astype(np.float64) * (counts - 1.0)).sum() / 2)
