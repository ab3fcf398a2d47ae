"""Gaussian mixtures."""

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from coarsecon.discovery.base import ByClass, ClusteringSettings, fitting
from coarsecon.discovery.features import MAX_COMPONENTS, principal_components


class Mixture(ByClass):
    """A Gaussian mixture with diagonal covariances, on principal components of each class."""

    class Config(ClusteringSettings):
        """Settings of the mixture."""

        restarts: int = Field(10, ge=1, description="Number of random initializations (restarts).")
        components: int = Field(MAX_COMPONENTS, ge=1, description="Principal components.")

    def fit_class(self, features: Tensor, k: int, *, seed: int) -> Tensor:
        """Return the responsibilities of the components."""
        from sklearn.mixture import GaussianMixture

        if k == 1:
            return torch.ones(len(features), 1)
        rows = principal_components(features.numpy(), self.config.components).astype(np.float64)
        mixture = GaussianMixture(k, covariance_type="diag", n_init=self.config.restarts, random_state=seed)
        with fitting():
            return torch.from_numpy(mixture.fit(rows).predict_proba(rows)).float()
