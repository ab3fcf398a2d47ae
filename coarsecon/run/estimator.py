"""The interface of scikit-learn's transformers."""

from abc import ABC, abstractmethod
from dataclasses import asdict, replace
from typing import Any, Self

import numpy as np

from coarsecon.errors import InputError
from coarsecon.run.embedding import Images
from coarsecon.run.spec import FeatureSpec


class Estimator(ABC):
    """A transformer in scikit-learn's sense whose `transform` is `embed`; its parameters are the features in use."""

    spec: FeatureSpec

    @abstractmethod
    def embed(self, images: Images) -> np.ndarray:
        """Return embeddings float32 [N, D]."""

    @abstractmethod
    def with_features(self, **changes: Any) -> Any:
        """Return the same run with other features."""

    @abstractmethod
    def _use_features(self, spec: FeatureSpec) -> None:
        """Change the features in use."""

    def fit(self, X: Any = None, y: Any = None) -> Self:  # noqa: N803  scikit-learn's names
        """Do nothing: the encoder is trained."""
        return self

    def transform(self, X: Images) -> np.ndarray:  # noqa: N803
        """Return `embed(X)`."""
        return self.embed(X)

    def fit_transform(self, X: Images, y: Any = None) -> np.ndarray:  # noqa: N803
        """Return `embed(X)`."""
        return self.embed(X)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the features in use."""
        return asdict(self.spec)

    def set_params(self, **params: Any) -> Self:
        """Use other features."""
        if unknown := params.keys() - asdict(self.spec).keys():
            raise InputError(", ".join(sorted(unknown)), "no such parameter", f"known: {', '.join(asdict(self.spec))}")
        self._use_features(replace(self.spec, **params))
        return self

    def __sklearn_clone__(self) -> Any:
        return self.with_features()

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None, target_tags=TargetTags(required=False), transformer_tags=TransformerTags(),
            input_tags=InputTags(two_d_array=False), requires_fit=False,
        )  # fmt: skip
