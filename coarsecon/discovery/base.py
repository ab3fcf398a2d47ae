"""Base class of clusterings inside coarse classes."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ConfigDict
from torch import Tensor

from coarsecon.runtime.progress import Progress
from coarsecon.runtime.settings import Settings
from coarsecon.runtime.threads import single_threaded


class ClusteringSettings(Settings):
    """Base of every clustering's `Config`, given as `cluster --settings key=value`."""

    model_config = ConfigDict(frozen=True)


class Clustering(ABC):
    """Base class of all clusterings, built-in and third-party.

    The first line of the docstring describes it in lists.
    """

    class Config(ClusteringSettings):
        """Settings of the clustering."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def fit(
        self, classes: Sequence[Tensor], counts: Sequence[int], *, seed: int, progress: Progress = Progress()
    ) -> list[Tensor]:
        """Cluster the images of every coarse class.

        Args:
            classes: Normalized features [M, D] of each class, on the CPU.
            counts: Number of clusters K of each class, from 1 to M.
            seed: The same seed gives the same result.
            progress: Advanced by each class.

        Returns:
            The probability [M, K] of each cluster, for each class; an image is in its most probable cluster.
        """


class ByClass(Clustering):
    """Base class of clusterings that share nothing between coarse classes."""

    @abstractmethod
    def fit_class(self, features: Tensor, k: int, *, seed: int) -> Tensor:
        """Return the probability [M, k] of each cluster for the normalized features [M, D] of one class."""

    def fit(
        self, classes: Sequence[Tensor], counts: Sequence[int], *, seed: int, progress: Progress = Progress()
    ) -> list[Tensor]:
        """Cluster each class by itself."""
        found = []
        for features, k in zip(classes, counts, strict=True):
            found.append(self.fit_class(features, k, seed=seed))
            progress.advance()
        return found


@contextmanager
def fitting() -> Iterator[None]:
    """Use one thread, so that a seed gives one result, and ignore classes of fewer distinct images than clusters."""
    from sklearn.exceptions import ConvergenceWarning

    with single_threaded(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
