"""Features of a combined run: the weighted concatenation of those of its parts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import Tensor

from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.methods.base import Method
from coarsecon.nn.encoder import Encoder
from coarsecon.run.features import FeatureStore
from coarsecon.run.folder import RunFolder
from coarsecon.run.missing import no_encoder
from coarsecon.run.parts import one_encoder_needed, part_folders, read_combination
from coarsecon.run.spec import FeatureSpec, Runtime
from coarsecon.search.fusion import concatenate


def open_store(folder: RunFolder, spec: FeatureSpec, runtime: Runtime) -> FeatureStore:
    """Return the features of a run, which has one encoder or several."""
    return (CombinedStore if folder.is_combined else FeatureStore)(folder, spec, runtime)


class CombinedStore(FeatureStore):
    """Features of images by several encoders; each caches its own in its folder.

    Raises:
        InputError: As for `FeatureStore`; or the parts cannot be read.
    """

    def __init__(self, folder: RunFolder, spec: FeatureSpec, runtime: Runtime) -> None:
        if spec.checkpoint != "last":
            raise no_encoder(folder.encoder(spec.checkpoint))
        self.weights = [part.weight for part in read_combination(folder).parts]
        self.parts = [FeatureStore(part, spec, runtime) for part in part_folders(folder)]
        super().__init__(folder, spec, runtime)

    @property
    def runtime(self) -> Runtime:
        """The device and processes of all parts."""
        return self.parts[0].runtime

    @runtime.setter
    def runtime(self, runtime: Runtime) -> None:
        for part in self.parts:
            part.runtime = runtime

    @property
    def encoder(self) -> Encoder:
        """Raise InputError: there are several."""
        raise one_encoder_needed(self.folder)

    @property
    def method(self) -> Method:
        """Raise InputError: each part has its own."""
        raise one_encoder_needed(self.folder)

    @property
    def image_size(self) -> int:
        """The largest image size of the parts."""
        return max(part.image_size for part in self.parts)

    def load(self) -> None:
        """Load all encoders."""
        for part in self.parts:
            part.load()

    def with_features(self, **changes: Any) -> Self:
        """Return the store of other features of the run."""
        other = super().with_features(**changes)
        for new, part in zip(other.parts, self.parts, strict=True):
            new._in_memory = part._in_memory
        return other

    def has_projector(self) -> bool:
        """Return whether the methods of all parts project features."""
        return all(part.has_projector() for part in self.parts)

    @property
    def uses_heads(self) -> bool:
        """True if the heads of a part were used."""
        return any(part.uses_heads for part in self.parts)

    def joined(self, features: Callable[[FeatureStore], Tensor]) -> Tensor:
        """Return the weighted concatenation of the features [N, D] of each part."""
        return concatenate([features(part) for part in self.parts], self.weights)

    def split(self, dataset: PreparedDataset, split: str, *, zoom: float = 1) -> Tensor:
        """Return features [N, D] of a prepared split."""
        return self.joined(lambda part: part.split(dataset, split, zoom=zoom))

    def images(self, pixels: list[np.ndarray], *, zoom: float = 1) -> Tensor:
        """Return features [N, D] of N images."""
        return self.joined(lambda part: part.images(pixels, zoom=zoom))

    def coarse_logits(self, dataset: PreparedDataset, split: str) -> None:
        """Return None: there is no common classifier."""

    def holds(self, dataset: PreparedDataset, split: str) -> bool:
        """Return whether the features of all parts are cached."""
        return all(part.holds(dataset, split) for part in self.parts)

    def _file_features(
        self, files: Sequence[Path], name: str | None, *, skip_broken: bool
    ) -> tuple[dict[int, str], Tensor]:
        found = [part._file_features(files, name, skip_broken=skip_broken) for part in self.parts]
        broken = {number: problem for own, _ in found for number, problem in own.items()}
        kept = []
        for own, features in found:
            readable = [number for number in range(len(files)) if number not in own]
            kept.append(features[[place for place, number in enumerate(readable) if number not in broken]])
        return broken, concatenate(kept, self.weights)
