"""Centering and shrinkage whitening of features."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from coarsecon.search.exact import l2_normalize

Transform = Literal["none", "center", "whiten"]

SMALLEST_VARIANCE = 1e-6
"""Variances below this fraction of the largest are raised to it, so that no direction of noise dominates."""


@dataclass(frozen=True)
class Whitening:
    """An affine transform of features: `mean` [D] is subtracted, and the rest multiplied by `matrix` [D, D] if any."""

    mean: Tensor
    matrix: Tensor | None = None

    def __call__(self, features: Tensor) -> Tensor:
        """Transform features [N, D], without normalizing the result."""
        centered = features - self.mean.to(features)
        return centered if self.matrix is None else centered @ self.matrix.to(features)

    def normalized(self, features: Tensor) -> Tensor:
        """Transform features [N, D] and normalize them to length one."""
        return l2_normalize(self(features))


def fit_whitening(features: Tensor, *, shrinkage: float | None = None) -> Whitening:
    """Fit the transform after which features [N, D] have mean 0 and, without shrinkage, the identity as covariance.

    The matrix is the symmetric inverse square root of the covariance (1 - s) C + s tr(C) / D I (ZCA).

    Args:
        features: The features to fit on: those of the gallery, never those of queries.
        shrinkage: s from 0 to 1; by default that of Ledoit & Wolf, "A well-conditioned estimator for large-dimensional
            covariance matrices", 2004.
    """
    from sklearn.covariance import empirical_covariance, ledoit_wolf, shrunk_covariance

    rows = features.double().cpu().numpy()
    if shrinkage is None:
        covariance, _ = ledoit_wolf(rows)
    else:
        covariance = shrunk_covariance(empirical_covariance(rows), shrinkage)
    values, vectors = torch.linalg.eigh(torch.from_numpy(covariance))
    least = SMALLEST_VARIANCE * max(float(values[-1]), SMALLEST_VARIANCE)
    matrix = (vectors * values.clamp(min=least).rsqrt()) @ vectors.T
    return Whitening(torch.from_numpy(rows.mean(axis=0)).to(features), matrix.to(features))


def fit_transform(features: Tensor, kind: Transform) -> Whitening | None:
    """Fit the transform of that name on features [N, D]; None for "none"."""
    if kind == "none":
        return None
    return Whitening(features.mean(0)) if kind == "center" else fit_whitening(features)
