"""Embed images of any kind: files, folders, PIL images, arrays and tensors."""

import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from coarsecon.data.formats.find import find_images
from coarsecon.data.formats.left_out import some
from coarsecon.data.formats.names import path_on_disk
from coarsecon.data.prepared.convert import as_prepared, prepared
from coarsecon.errors import InputError
from coarsecon.run.features import FeatureStore
from coarsecon.run.image_files import FILES_AT_ONCE

OneImage = str | Path | Image.Image | np.ndarray | Tensor
Images = OneImage | Iterable[OneImage]


class _Given(NamedTuple):
    """Image to embed, with a flag for files that were found in a folder."""

    image: OneImage
    in_folder: bool = False


def embed_images(
    store: FeatureStore, images: Images, *, embed: Callable[[list[np.ndarray]], Tensor] | None = None
) -> tuple[list[OneImage], np.ndarray]:
    """Return the images that can be read and their embeddings float32 [N, D]; see `Run.embed`.

    `embed` replaces the features of the store by others of the same pixels.
    """
    embed = embed or store.images
    given, size = _list_images(images), store.image_size
    kept: list[OneImage] = []
    rows, broken = [], []
    with ThreadPoolExecutor(max(1, store.runtime.workers)) as pool:
        for start in range(0, len(given), FILES_AT_ONCE):
            piece = given[start : start + FILES_AT_ONCE]
            pixels = list(pool.map(lambda each: _pixels_or_problem(each, size), piece))
            broken += [found for found in pixels if isinstance(found, str)]
            kept += [each.image for each, found in zip(piece, pixels, strict=True) if not isinstance(found, str)]
            readable = [found for found in pixels if not isinstance(found, str)]
            rows += [embed(readable)] if readable else []
    if broken and not kept:
        raise InputError(
            broken[0] if len(broken) == 1 else f"none of the {len(broken):,} images can be read: {broken[0]}"
        )
    if broken:
        warnings.warn(f"skipped {len(broken):,} images that cannot be read: {some(broken)}", stacklevel=3)
    if not rows:
        return kept, np.zeros((0, embed([np.zeros((1, 1, 3), np.uint8)]).shape[1]), np.float32)
    return kept, torch.cat(rows).numpy()


def _list_images(images: Images) -> list[_Given]:
    """Return one image or several as a list; folders become the files in them."""
    if isinstance(images, np.ndarray | Tensor):
        return [_Given(image) for image in (images if images.ndim == 4 else [images])]
    if isinstance(images, str | Path | Image.Image):
        images = [images]
    if not isinstance(images, Iterable):
        kind = type(images).__name__
        raise InputError("images", f"an image is a file, a PIL image, an array or a tensor, not {kind}")
    found: list[_Given] = []
    for image in images:
        files: list[Any] = find_images([Path(image)]) if isinstance(image, str | Path) else [image]
        in_folder = isinstance(image, str | Path) and path_on_disk(Path(image)).is_dir()
        found += [_Given(file, in_folder) for file in files]
    return found


def _pixels_or_problem(given: _Given, size: int) -> np.ndarray | str:
    """Return the pixels of an image, or what is wrong with a file that was found in a folder."""
    try:
        return _pixels(given.image, size)
    except InputError as error:
        if given.in_folder:
            return str(error)
        raise


def _pixels(image: OneImage, size: int) -> np.ndarray:
    """Return uint8 [H, W, 3], as `coarsecon prepare` would have stored it for this size."""
    if isinstance(image, str | Path):
        return as_prepared(Path(image), size)
    if isinstance(image, Image.Image):
        return prepared(image, size)
    is_chw = isinstance(image, Tensor) and image.ndim == 3
    array = np.asarray(image.permute(1, 2, 0).cpu() if is_chw else image)  # type: ignore[union-attr]
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise InputError(
            "images",
            "an image is 8-bit RGB, uint8 [H, W, 3] as an array and [3, H, W] as a tensor; "
            f"got {array.dtype} {list(np.shape(image))}",
        )
    return prepared(Image.fromarray(array), size)
