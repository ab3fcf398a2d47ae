"""Find blurred, tiny and blank images, and images far from all others."""

import numpy as np
from numpy.typing import NDArray

NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def blur_scores(sharpness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the log of the sharpness [N] is below its median, in robust standard deviations.

    NaN where the sharpness is 0 (constant images, and broken ones).
    """
    logs = np.log(np.where(sharpness > 0, sharpness, np.nan))
    center = np.nanmedian(logs) if np.isfinite(logs).any() else np.nan
    spread = NORMAL_MAD * np.nanmedian(np.abs(logs - center)) if np.isfinite(center) else np.nan
    return (center - logs) / spread if spread > 0 else np.where(np.isfinite(logs), 0.0, np.nan)


def outlier_scores(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many interquartile ranges distances [N] are above the upper quartile (Tukey's fences), or NaN."""
    known = distances[np.isfinite(distances)]
    if not len(known):
        return distances
    low, high = np.quantile(known, [0.25, 0.75])
    return (distances - high) / (high - low) if high > low else np.where(distances > high, np.inf, 0.0)
