"""Tuned search settings of a run, and the features that they make of images."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from coarsecon.config import FeatureLayer, Settings
from coarsecon.data.prepared.convert import as_prepared
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.run.combined import CombinedStore
from coarsecon.run.features import FeatureStore
from coarsecon.run.image_files import FILES_AT_ONCE
from coarsecon.search.exact import l2_normalize
from coarsecon.search.items import ItemTable
from coarsecon.search.rerank import Reciprocity
from coarsecon.search.space import FeatureSpace, TunedIndex

MAX_NEIGHBORS = 1000
TUNE = "evaluate `retrieve` with tune again"


class Reranking(Settings):
    """Settings of k-reciprocal re-ranking; see `coarsecon.search.rerank`."""

    k1: int = Field(ge=1, le=MAX_NEIGHBORS)
    k2: int = Field(ge=1, le=MAX_NEIGHBORS)
    weight: float = Field(ge=0, le=1)


class Tuning(Settings):
    """Settings of a search: which features are compared, and how lists of neighbors are ordered.

    Args:
        layers: Layers whose features are combined.
        weights: Weights of the encoders: those of a combined run, else the initial and the chosen one. None: the
            features of the run as they are.
        flip: Average features with those of the mirror images.
        zooms: Fractions of a query image whose center crops are averaged.
        transform: Transform fitted on the gallery.
        fusion: Combine encoders and layers by concatenated features, or by the ranks in their lists.
        reranking: Re-rank by k-reciprocal encoding, or None.
    """

    layers: list[FeatureLayer] = Field(default=["backbone"], min_length=1, max_length=2)
    weights: list[Annotated[float, Field(ge=0, le=1e6)]] | None = None
    flip: bool = False
    zooms: list[Annotated[float, Field(gt=0, le=1)]] = Field(default=[1.0], min_length=1, max_length=8)
    transform: Literal["none", "center", "whiten"] = "none"
    fusion: Literal["features", "ranks"] = "features"
    reranking: Reranking | None = None

    def describe(self) -> str:
        """Return the settings in words."""
        words = ["+".join(self.layers)]
        words += [f"encoders {':'.join(f'{weight:g}' for weight in self.weights)}"] if self.weights else []
        words += ["flip"] * self.flip
        words += [f"query zooms {', '.join(f'{zoom:g}' for zoom in self.zooms)}"] * (self.zooms != [1.0])
        words += [{"center": "centered", "whiten": "whitened"}[self.transform]] if self.transform != "none" else []
        words += ["fused by rank"] * (self.fusion == "ranks")
        if self.reranking is not None:
            values = self.reranking
            words.append(f"re-ranked (k1 {values.k1}, k2 {values.k2}, lambda {values.weight:g})")
        return "; ".join(words)


Read = Callable[[FeatureStore], Tensor]
"""Returns features [N, D] of images by one encoder at one layer."""


class TunedFeatures:
    """Sets of features of images, one for each encoder and layer that a `Tuning` uses.

    Raises:
        InputError: The run does not have the encoders or the layers.
    """

    def __init__(self, store: FeatureStore, tuning: Tuning) -> None:
        self.store, self.tuning = store, tuning
        weights = tuning.weights if tuning.weights is not None else [1.0]
        encoders = [store] if tuning.weights is None else encoders_of(store)
        if len(encoders) != len(weights) or not any(weights):
            raise InputError(store.folder.root, f"has {len(encoders)} encoders, not {len(weights)} weighted ones", TUNE)
        self.stores: list[FeatureStore] = []
        self.weights: list[float] = []
        for encoder, weight in zip(encoders, weights, strict=True):
            is_initial = encoder.spec.checkpoint == "initial"  # it has no heads
            layers: list[FeatureLayer] = ["backbone"] if is_initial else tuning.layers
            for layer in layers if weight > 0 else ():
                self.stores.append(encoder.with_features(layer=layer, flip=tuning.flip))
                self.weights.append(weight)

    def sets(self, read: Read) -> list[Tensor]:
        """Return the features that `read` returns of each encoder and layer."""
        return [read(store) for store in self.stores]

    def query_sets(self, dataset: PreparedDataset, split: str) -> list[Tensor]:
        """Return the sets of features of a split as queries: the mean over all zooms."""
        return self.sets(lambda store: self._framed(lambda zoom: store.split(dataset, split, zoom=zoom)))

    def query_files(self, files: Sequence[Path]) -> list[Tensor]:
        """Return the sets of features of image files, which can be read, as queries."""
        found = []
        for start in range(0, len(files), FILES_AT_ONCE):
            pixels = [as_prepared(file, self.store.image_size) for file in files[start : start + FILES_AT_ONCE]]
            found.append(self.query_images(pixels))
        return [torch.cat(parts) for parts in zip(*found, strict=True)]

    def query_images(self, pixels: list[Any]) -> list[Tensor]:
        """Return the sets of features of images uint8 [H, W, 3] of the prepared form, as queries."""
        return self.sets(lambda store: self._framed(lambda zoom: store.images(pixels, zoom=zoom)))

    def _framed(self, read: Callable[[float], Tensor]) -> Tensor:
        return l2_normalize(torch.stack([read(zoom) for zoom in self.tuning.zooms]).mean(0))


class TunedGallery:
    """A gallery in the space of a `Tuning`, fitted on it.

    Args:
        features: Makes the sets of features.
        gallery: The sets of features of the gallery.
    """

    def __init__(self, features: TunedFeatures, gallery: Sequence[Tensor]) -> None:
        self.source, tuning = features, features.tuning
        is_separate = tuning.fusion == "ranks" and len(gallery) > 1
        self.space = FeatureSpace.fit(gallery, features.weights, tuning.transform, separate=is_separate)
        self.dims = [part.shape[1] for part in gallery] if is_separate else []
        self.features = self.space(gallery)

    def index(self, items: ItemTable) -> TunedIndex:
        """Return the index of the gallery's images."""
        chosen = self.source.tuning.reranking
        return TunedIndex(
            self.features, items, dims=self.dims, weights=self.source.weights if self.dims else (),
            reciprocity=None if chosen is None else Reciprocity(chosen.k1, chosen.k2, chosen.weight),
        )  # fmt: skip

    def files(self, files: Sequence[Path]) -> Tensor:
        """Return the features [Q, D] of query files."""
        return self.space(self.source.query_files(files))

    def images(self, pixels: list[Any]) -> Tensor:
        """Return the features [Q, D] of query images of the prepared form."""
        return self.space(self.source.query_images(pixels))


def encoders_of(store: FeatureStore) -> list[FeatureStore]:
    """Return the encoders that have weights: those of a combined run, else the initial one, if any, and the chosen."""
    if isinstance(store, CombinedStore):
        return list(store.parts)
    has_initial = store.spec.checkpoint != "initial" and store.folder.encoder("initial").is_file()
    return [*[store.with_features(checkpoint="initial", layer="backbone")] * has_initial, store]
