"""A run's encoder in Python: embed, search, take a step of a scikit-learn pipeline, hand over to other tools."""

import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from coarsecon.config import Checkpoint, FeatureLayer
from coarsecon.data.formats.find import find_images
from coarsecon.data.formats.left_out import some
from coarsecon.data.formats.names import path_on_disk
from coarsecon.data.prepared.convert import as_prepared, prepared
from coarsecon.errors import InputError
from coarsecon.run.features import FeatureStore
from coarsecon.run.folder import open_run
from coarsecon.run.image_files import FILES_AT_ONCE
from coarsecon.run.session import Session
from coarsecon.runtime.progress import Reporter
from coarsecon.search.index import EXACT, SearchIndex

PARAMETERS = ("run", "data", "which", "layer", "flip", "device", "workers")

OneImage = str | Path | Image.Image | np.ndarray | Tensor


class _Asked(NamedTuple):
    """An image to embed, and whether it is a file that was found in a folder."""

    image: OneImage
    in_folder: bool = False


@dataclass(frozen=True)
class Neighbours:
    """The images nearest to Q queries, best first, at most k of each.

    Row i has the `scores` (cosines), the `indices` into the searched images, their `names`, and their class names by
    level in `labels`, None where a label is unknown.
    """

    scores: list[list[float]]
    indices: list[list[int]]
    names: list[list[str]]
    labels: dict[str, list[list[str | None]]]


class Embedder:
    """The encoder of a run. Nothing is loaded before it is needed.

    It is a transformer in scikit-learn's sense: `fit` learns nothing, `transform` is `embed`.

    Args:
        run: the run folder.
        data: the prepared dataset to search in; by default the run's.
        which: the run's "last" or "best" encoder.
        layer: features of the "backbone", or of the "projector".
        flip: average with the features of the mirror image.
        device: "auto", "cpu", "cuda", ...
        workers: threads that decode files.

    Raises:
        InputError: there is no such `which` or `layer`.
    """

    def __init__(
        self,
        run: str | Path,
        *,
        data: str | Path | None = None,
        which: Checkpoint = "last",
        layer: FeatureLayer = "backbone",
        flip: bool = False,
        device: str = "auto",
        workers: int = 2,
    ) -> None:
        for name, value, known in (("which", which, get_args(Checkpoint)), ("layer", layer, get_args(FeatureLayer))):
            if value not in known:
                raise InputError(f"{name}={value!r}: choose {' or '.join(map(repr, known))}")
        self.run, self.data, self.which, self.layer = run, data, which, layer
        self.flip, self.device, self.workers = flip, device, workers
        self._indices: dict[str, SearchIndex] = {}

    @cached_property
    def store(self) -> FeatureStore:
        """The features that the run keeps, and the encoder that makes others."""
        from coarsecon.runtime.device import choose_device

        return FeatureStore(
            open_run(Path(self.run)), self.which, layer=self.layer, flip=self.flip,
            device=choose_device(self.device), workers=self.workers,
        )  # fmt: skip

    @cached_property
    def session(self) -> Session:
        """The run with its dataset."""
        data = None if self.data is None else Path(self.data)
        return Session(
            open_run(Path(self.run)), data, which=self.which, layer=self.layer, flip=self.flip, device=self.device,
            workers=self.workers, reporter=Reporter(),
        )  # fmt: skip

    @property
    def dim(self) -> int:
        """The width D of the embeddings."""
        return int(self.embed(np.zeros((1, 1, 3), np.uint8)).shape[1])

    def embed(self, images: OneImage | Iterable[OneImage]) -> np.ndarray:
        """Unit embeddings float32 [N, D] of one image or several, in their order.

        An image is a file, a PIL image, an array uint8 [H, W, 3] or a tensor uint8 [3, H, W]; a folder stands for all
        images in and below it. Arrays [N, H, W, 3] and tensors [N, 3, H, W] are N images. Sizes may differ.

        Raises:
            InputError: a file is missing or broken, or something is no image of 8 bits.

        Broken files in folders are skipped with a warning.
        """
        return self._embedded(images)[1]

    def split(self, split: str | None = None) -> np.ndarray:
        """Unit embeddings float32 [N, D] of a split of the dataset, as every command keeps and reads them."""
        return self.session.features(split or self.session.usual_split()).numpy()

    def search(
        self, query: OneImage | Iterable[OneImage], k: int = 10, *, split: str = "train", index: str = EXACT
    ) -> Neighbours:
        """The `k` images of a split nearest to each query; `query` is what `embed` takes, or embeddings float [Q, D].

        Images of the split with the content of a file are not its neighbors. `index` is a FAISS factory string.

        Raises:
            InputError: as `embed`; or there is no such split; or `k` is below 1.
        """
        if k < 1:
            raise InputError(f"k={k}: ask for one neighbour or more")
        is_embedded = isinstance(query, np.ndarray | Tensor) and query.ndim == 2 and _is_float(query)
        images, made = ([], query) if is_embedded else self._embedded(query)
        embedded = torch.as_tensor(made)
        collection = self.session.collection(split)
        if self._indices.get(f"{split} {index}") is None:
            self._indices[f"{split} {index}"] = SearchIndex.build(collection.features, collection.items, index)
        own = [self._own(image, split) for image in images] or [set()] * len(embedded)
        hits = self._indices[f"{split} {index}"].query(embedded, k + max(map(len, own), default=0))
        found = [
            [(i, score) for i, score in zip(*row, strict=True) if i >= 0 and i not in same][:k]
            for same, *row in zip(own, hits.indices.tolist(), hits.scores.tolist(), strict=True)
        ]
        items = collection.items
        return Neighbours(
            scores=[[score for _, score in row] for row in found],
            indices=[[i for i, _ in row] for row in found],
            names=[[items.names[i] for i, _ in row] for row in found],
            labels={level: [[items.label(level, i) for i, _ in row] for row in found] for level in items.labels},
        )

    def __repr__(self) -> str:
        return f"Embedder({str(self.run)!r}, which={self.which!r}, layer={self.layer!r}, flip={self.flip})"

    def fit(self, X: Any = None, y: Any = None) -> Self:  # noqa: N803  scikit-learn's names
        """Does nothing: the encoder is trained."""
        return self

    def transform(self, X: OneImage | Iterable[OneImage]) -> np.ndarray:  # noqa: N803
        """`embed`."""
        return self.embed(X)

    def fit_transform(self, X: OneImage | Iterable[OneImage], y: Any = None) -> np.ndarray:  # noqa: N803
        """`embed`."""
        return self.embed(X)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments it was made with."""
        return {name: getattr(self, name) for name in PARAMETERS}

    def set_params(self, **params: Any) -> Self:
        """Other arguments; what was loaded by the former ones is let go."""
        if unknown := params.keys() - set(PARAMETERS):
            raise InputError(f"no parameter is called {', '.join(sorted(unknown))}; known: {', '.join(PARAMETERS)}")
        self.__init__(**{**self.get_params(), **params})  # type: ignore[misc]
        self.__dict__.pop("store", None)
        self.__dict__.pop("session", None)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None, target_tags=TargetTags(required=False), transformer_tags=TransformerTags(),
            input_tags=InputTags(two_d_array=False), requires_fit=False,
        )  # fmt: skip

    @staticmethod
    def _pixels(image: OneImage, size: int) -> np.ndarray:
        """uint8 [H, W, 3], as `coarsecon prepare` would have kept it for this size."""
        if isinstance(image, str | Path):
            return as_prepared(Path(image), size)
        if isinstance(image, Image.Image):
            return prepared(image, size)
        array = (
            image.permute(1, 2, 0).cpu().numpy() if isinstance(image, Tensor) and image.ndim == 3 else np.asarray(image)
        )
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise InputError(
                f"an image is 8-bit RGB, uint8 [H, W, 3] as an array and [3, H, W] as a tensor; got {array.dtype} "
                f"{list(np.shape(image))}"
            )
        return prepared(Image.fromarray(array), size)

    def _embedded(self, images: OneImage | Iterable[OneImage]) -> tuple[list[OneImage], np.ndarray]:
        """The images that can be read and their embeddings; see `embed`."""
        several, size = _several(images), self.store.encoder.card.input.size
        kept: list[OneImage] = []
        rows, broken = [], []
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            for start in range(0, len(several), FILES_AT_ONCE):
                piece = several[start : start + FILES_AT_ONCE]
                pixels = list(pool.map(lambda asked: self._pixels_or_problem(asked, size), piece))
                broken += [found for found in pixels if isinstance(found, str)]
                kept += [asked.image for asked, found in zip(piece, pixels, strict=True) if not isinstance(found, str)]
                readable = [found for found in pixels if not isinstance(found, str)]
                rows += [self.store.images(readable)] if readable else []
        if broken and not kept:
            raise InputError(f"none of the {len(broken):,} images can be read: {broken[0]}")
        if broken:
            warnings.warn(f"skipped {len(broken):,} images that cannot be read: {some(broken)}", stacklevel=3)
        return kept, torch.cat(rows).numpy() if rows else np.zeros((0, self.dim), np.float32)

    def _pixels_or_problem(self, asked: _Asked, size: int) -> np.ndarray | str:
        """The pixels of an image; what is wrong with a file that was found in a folder."""
        try:
            return self._pixels(asked.image, size)
        except InputError as error:
            if asked.in_folder:
                return str(error)
            raise

    def _own(self, image: OneImage, split: str) -> set[int]:
        """The images of the split that are the same as a file."""
        return self.session.prepared_images(Path(image), split) if isinstance(image, str | Path) else set()


def _several(images: OneImage | Iterable[OneImage]) -> list[_Asked]:
    """One image or several as a list; folders become the files in them."""
    if isinstance(images, np.ndarray | Tensor):
        return [_Asked(image) for image in (images if images.ndim == 4 else [images])]
    if isinstance(images, str | Path | Image.Image):
        images = [images]
    if not isinstance(images, Iterable):
        raise InputError(f"an image is a file, a PIL image, an array or a tensor, not {type(images).__name__}")
    found: list[_Asked] = []
    for image in images:
        files: list[Any] = find_images([Path(image)]) if isinstance(image, str | Path) else [image]
        in_folder = isinstance(image, str | Path) and path_on_disk(Path(image)).is_dir()
        found += [_Asked(file, in_folder) for file in files]
    return found


def _is_float(values: np.ndarray | Tensor) -> bool:
    return values.is_floating_point() if isinstance(values, Tensor) else values.dtype.kind == "f"
