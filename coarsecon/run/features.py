"""Features of a run, extracted once per image and cached for all evaluations."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from coarsecon.data.formats.left_out import some
from coarsecon.data.prepared.loader import ImageLoader, padded
from coarsecon.data.prepared.store import PreparedDataset
from coarsecon.errors import InputError
from coarsecon.methods.base import Method
from coarsecon.nn.encoder import Encoder
from coarsecon.run.folder import RunFolder
from coarsecon.run.image_files import FILES_AT_ONCE, ImageFiles, files_fingerprint
from coarsecon.run.marks import encoder_mark, heads_mark
from coarsecon.run.restore import load_method, open_encoder
from coarsecon.run.rows import Pieces, RowStore
from coarsecon.run.spec import FeatureSpec, Runtime
from coarsecon.runtime.device import choose_device
from coarsecon.search.exact import l2_normalize
from coarsecon.views.batch import ImageBatch
from coarsecon.views.zoom import center_crops

BATCH = 250
ROWS_AT_ONCE = 8192
"""Batch size for heads."""

Batches = Callable[[range], Iterator[ImageBatch]]
"""`batches(starts)` yields the batches of images that start at these indices, on the device."""


class FeatureStore(RowStore):
    """Features of images by one encoder of a run, each computed once and cached in the run's folder `features`.

    The raw backbone output is cached, for an image and, with `spec.flip`, for its mirror image. The features of
    `spec.layer` are derived from it: L2-normalized float32 [N, D], with `spec.flip` the normalized mean over the
    image and its mirror image. Everything is loaded lazily, except for the heads with the layer "projector".

    Raises:
        InputError: There is no encoder yet; the projector is asked for and the run has none.
    """

    def __init__(
        self, folder: RunFolder, spec: FeatureSpec = FeatureSpec(), runtime: Runtime = Runtime("cpu", workers=0)
    ) -> None:
        super().__init__(folder, spec, runtime)
        self.device = choose_device(runtime.device)
        if spec.layer == "projector" and not self.has_projector():
            name = folder.config().method["name"]
            raise InputError(folder.root, f"its method {name} has no projector", "use the layer backbone")

    def with_features(self, **changes: Any) -> Self:
        """Return the store of other features of the run."""
        other = type(self)(self.folder, replace(self.spec, **changes), self.runtime)
        other._in_memory = self._in_memory
        return other

    def has_projector(self) -> bool:
        """Return whether the run's method projects features."""
        return self.method.project(torch.zeros(1, self.encoder.dim, device=self.device)) is not None

    @cached_property
    def encoder(self) -> Encoder:
        """Encoder of the run, on the device.

        Raises:
            InputError: It cannot be read, or a training has replaced it since this store read it.
        """
        mark = self.encoder_mark
        encoder = open_encoder(self.folder, self.spec.checkpoint, self.device)
        self._check_unchanged(mark)
        return encoder

    @cached_property
    def method(self) -> Method:
        """Method of the run with this encoder and its heads."""
        method = load_method(self.folder, self.spec.checkpoint, self.device, encoder=self.encoder)
        self._check_unchanged(self.encoder_mark)
        return method

    def load(self) -> None:
        """Load the encoder, to report a mistake early."""
        self.encoder  # noqa: B018

    @property
    def image_size(self) -> int:
        """The image size that files are prepared for, in pixels."""
        return self.encoder.card.input.size

    def joined(self, features: Callable[["FeatureStore"], Tensor]) -> Tensor:
        """Return `features` of the single encoder; a combined run concatenates those of each."""
        return features(self)

    def _check_unchanged(self, mark: str) -> None:
        if encoder_mark(self.folder, self.spec.checkpoint) != mark:
            raise InputError(self.folder.root, "was saved by a training while it was read", "run the command again")

    @property
    def uses_heads(self) -> bool:
        """True if the heads of the method were used."""
        return "method" in self.__dict__

    def mark(self, content: str) -> str:
        """Return the fingerprint of the features of images of this `content` (a checksum)."""
        spec = self.spec
        heads = [heads_mark(self.folder, spec.checkpoint)] * (spec.layer == "projector")
        return f"{spec.layer}{'+mirror' * spec.flip} {' '.join([self.encoder_mark, *heads, content])}"

    def split(self, dataset: PreparedDataset, split: str, *, zoom: float = 1) -> Tensor:
        """Return features [N, D] of a prepared split, in its order, on the CPU; with `zoom`, of the images' centers.

        Raises:
            InputError: there is no such split, or an image cannot be read.
        """
        return self._both_sides(lambda mirrored: self._split_rows(dataset, split, mirrored, zoom))

    def files(self, files: Sequence[Path], *, name: str | None = None) -> Tensor:
        """Return features [N, D] of image files, shrunk as `coarsecon prepare` does; cached if there is a `name`.

        Raises:
            InputError: a file is missing or broken.
        """
        return self._file_features(files, name, skip_broken=False)[1]

    def readable_files(self, files: Sequence[Path], *, name: str | None = None) -> tuple[list[Path], Tensor]:
        """Return the image files that can be read and their features [M, D]; the others are reported.

        Raises:
            InputError: none of the files can be read.
        """
        broken, features = self._file_features(files, name, skip_broken=True)
        if broken:
            count = f"{len(broken):,} of {len(files):,} images"
            self.runtime.reporter.info(f"skipped {count}, which cannot be read: {some(list(broken.values()))}")
        return [file for i, file in enumerate(files) if i not in broken], features

    def images(self, pixels: list[np.ndarray], *, zoom: float = 1) -> Tensor:
        """Return features [N, D] of N images uint8 [H, W, 3] of the prepared form; they are not cached."""
        batch = center_crops(padded(pixels).to(self.device), zoom)
        return self._both_sides(lambda mirrored: self.encoder.features(batch, mirrored=mirrored).cpu())

    def coarse_logits(self, dataset: PreparedDataset, split: str) -> Tensor | None:
        """Return logits [N, C] of the classes the run was trained on; None if its method has no classifier.

        Raises:
            InputError: as `split`; or the run kept no heads.
        """
        return self.logits(self._split_rows(dataset, split, mirrored=False))

    def logits(self, rows: Tensor) -> Tensor | None:
        """Return the classifier's logits [N, C] of cached rows [N, F]; None if the method has no classifier."""
        return self._through(self.method.coarse_logits, rows)

    def _split_rows(self, dataset: PreparedDataset, split: str, mirrored: bool, zoom: float = 1) -> Tensor:
        images = dataset.split(split)
        batches = partial(
            split_batches, ImageLoader(images, self.device, self.runtime.workers, reporter=self.runtime.reporter), BATCH
        )
        name = split if zoom == 1 else f"{split}-zoom{zoom:g}"

        def framed(starts: range) -> Iterator[ImageBatch]:
            return (center_crops(batch, zoom) for batch in batches(starts))

        return self._rows(name, dataset.info.splits[split].checksum, len(images), framed, BATCH, mirrored)

    def _file_features(
        self, files: Sequence[Path], name: str | None, *, skip_broken: bool
    ) -> tuple[dict[int, str], Tensor]:
        """Return the problems of broken files by number, and the features [M, D] of the others."""
        images = ImageFiles(files, self.image_size, workers=self.runtime.workers, skip_broken=skip_broken)
        rows = [self._file_rows(images, name, mirrored) for mirrored in (False, True)[: 1 + self.spec.flip]]
        broken = images.problems(rows[0])
        if broken and (not skip_broken or len(broken) == len(files)):
            which = f"none of the {len(files):,} images can be read, the first: " if len(broken) > 1 else ""
            raise InputError(f"{which if skip_broken else ''}{next(iter(broken.values()))}")
        if broken:
            kept = [i for i in range(len(files)) if i not in broken]
            rows = [side[kept] for side in rows]
        return broken, self._both_sides(lambda mirrored: rows[mirrored])

    def _file_rows(self, images: ImageFiles, name: str | None, mirrored: bool) -> Tensor:
        """Return the rows [N, F] of image files, cached if there is a `name`."""
        files = images.files

        def batches(starts: range) -> Iterator[ImageBatch]:
            return (batch.to(self.device) for batch in images.batches(starts))

        def pieces(starts: range) -> Iterator[Tensor]:
            return map(images.mark, starts, self._embedded(batches, mirrored)(starts))

        if name is None:
            return torch.cat(list(self._made("features of files", len(files), pieces, FILES_AT_ONCE)))
        title = _mirrored(f"files-{name}") if mirrored else f"files-{name}"
        what = f"features of files-{name}{', mirrored' * mirrored}"
        return self.kept(title, files_fingerprint(files), len(files), pieces, piece=FILES_AT_ONCE, what=what)

    def _rows(self, name: str, content: str, count: int, batches: Batches, piece: int, mirrored: bool) -> Tensor:
        title = _mirrored(name) if mirrored else name
        what = f"features of {name}{', mirrored' * mirrored}"
        return self.kept(title, content, count, self._embedded(batches, mirrored), piece=piece, what=what)

    def _embedded(self, batches: Batches, mirrored: bool) -> Pieces:
        return lambda starts: (self.encoder.features(batch, mirrored=mirrored).cpu() for batch in batches(starts))

    def holds(self, dataset: PreparedDataset, split: str) -> bool:
        """Return whether the features of a split are cached."""
        content = dataset.info.splits[split].checksum
        paths = [self._path(name, content) for name in [split, *[_mirrored(split)] * self.spec.flip]]
        return all(path.is_file() and self.folder.owns(path) for path in paths)

    def _both_sides(self, rows: Callable[[bool], Tensor]) -> Tensor:
        """Return features [N, D] from the rows of images and, with `flip`, of their mirror images."""
        features = self.finished(rows(False))
        return l2_normalize(features + self.finished(rows(True))) if self.spec.flip else features

    def finished(self, rows: Tensor) -> Tensor:
        """Features [N, D] of kept rows [N, F]: through the projector if that is the layer, and L2-normalized."""
        projected = self._through(self.method.project, rows) if self.spec.layer == "projector" else rows
        assert projected is not None
        return l2_normalize(projected)

    @torch.no_grad()
    def _through(self, head: Callable[[Tensor], Tensor | None], rows: Tensor) -> Tensor | None:
        outputs = [head(piece.to(self.device)) for piece in rows.split(ROWS_AT_ONCE)]
        known = [output.float().cpu() for output in outputs if output is not None]
        return torch.cat(known) if known else None


def split_batches(loader: ImageLoader, size: int, starts: range) -> Iterator[ImageBatch]:
    """Yield the batches of `size` images of a split that start at these indices."""
    images = torch.arange(len(loader.split))
    return loader.batches([images[start : start + size] for start in starts])


def _mirrored(name: str) -> str:
    return f"{name}-mirrored"
