"""Gaussian mixtures."""

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from coarsecon.discovery.base import Clustering, ClusteringSettings, fitting
from coarsecon.discovery.features import MAX_COMPONENTS, principal_components
from coarsecon.runtime.progress import Progress


class Mixture(Clustering):
    """A Gaussian mixture with diagonal covariances, on principal components of each class."""

    class Config(ClusteringSettings):
        """Settings of the mixture."""

        restarts: int = Field(10, ge=1, description="Number of random initializations (restarts).")
        components: int = Field(MAX_COMPONENTS, ge=1, description="Principal components.")

    def fit(
        self, classes: Sequence[Tensor], counts: Sequence[int], *, seed: int, progress: Progress = Progress()
    ) -> list[Tensor]:
        """Fit a mixture to each class by itself."""
        from sklearn.mixture import GaussianMixture

        found = []
        for features, k in zip(classes, counts, strict=True):
            if k == 1:
                found.append(torch.ones(len(features), 1))
            else:
                rows = principal_components(features.numpy(), self.config.components).astype(np.float64)
                with fitting():
                    model = GaussianMixture(
                        k, covariance_type="diag", n_init=self.config.restarts, random_state=seed
                    ).fit(rows)
                    found.append(torch.from_numpy(model.predict_proba(rows)).float())
            progress.advance()
        return found
