"""Load images and targets for torchvision's detectors from folders in VOC or COCO format."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from coarsecon.data.formats.images import opened
from coarsecon.detection.coco import is_coco, read_coco
from coarsecon.detection.masks import decode
from coarsecon.detection.samples import Annotated, DetectionSet, joined
from coarsecon.detection.voc import has_split, read_voc, voc_folders
from coarsecon.errors import InputError
from coarsecon.runtime.limits import workers_problem
from coarsecon.runtime.pool import loader_workers

Target = dict[str, Tensor]
Example = tuple[Tensor, Target]
"""A uint8 image [3, H, W]; `boxes` [N, 4], `labels` [N] counted from 1, and `masks` [N, H, W] where there are any."""

Arrays = tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]
"""The same as arrays: each tensor sent from a worker process would hold a file open."""


def format_of(path: Path) -> str:
    """Return `voc` or `coco`.

    Raises:
        InputError: There is no such folder, or it is in neither format.
    """
    if not path.is_dir():
        raise InputError(path, "no such folder")
    if is_coco(path):
        return "coco"
    if voc_folders(path):
        return "voc"
    raise InputError(
        path,
        "neither in VOC format (ImageSets/Main and Annotations, there or in VOC2007, ...) nor in COCO format "
        "(annotations/instances_*.json)",
    )


def read_split(paths: Sequence[Path], split: str, *, masks: bool) -> DetectionSet:
    """Read the images of a split from all folders; of folders in VOC format, at least one must have it.

    Raises:
        InputError: Something is missing or malformed.
    """
    sets = []
    for path in paths:
        if format_of(path) == "coco":
            sets.append(read_coco(path, split, masks=masks))
        elif masks:
            raise InputError(path, "VOC's annotations hold no masks", "set model.masks to false")
        else:
            sets += [read_voc(folder, split) for folder in voc_folders(path) if has_split(folder, split)]
    if not sets:
        raise InputError(", ".join(map(str, paths)), f"no ImageSets/Main/{split}.txt there")
    return joined(sets)


class Examples(Dataset[Arrays | InputError]):
    """Decoded images with their targets; an error for each broken image."""

    def __init__(self, images: Sequence[Annotated], classes: Sequence[str]) -> None:
        self.images = images
        self.labels = {name: index for index, name in enumerate(classes, 1)}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Arrays | InputError:
        """Return an error instead of raising it: from a worker process it would arrive as a traceback."""
        annotated = self.images[index]
        try:
            pixels = read_pixels(annotated).transpose(2, 0, 1)
        except InputError as error:
            return error
        labels = np.array([self.labels[each.label] for each in annotated.instances], np.int64)
        target: dict[str, NDArray[Any]] = {"boxes": annotated.boxes(), "labels": labels}
        masks = [decode(each.mask, annotated.size) for each in annotated.instances if each.mask is not None]
        if masks:
            target["masks"] = np.stack(masks)
        return pixels, target


def read_pixels(annotated: Annotated) -> NDArray[np.uint8]:
    """Read the image as uint8 [H, W, 3] without applying EXIF orientation, since boxes refer to stored pixels.

    Raises:
        InputError: It is broken, or its size differs from its annotation.
    """
    with opened(annotated.image) as image:
        pixels = np.array(image.convert("RGB"))
    if pixels.shape[:2] != annotated.size:
        height, width = annotated.size
        raise InputError(
            annotated.image, f"{pixels.shape[1]} x {pixels.shape[0]} px, but its annotation says {width} x {height}"
        )
    return pixels


def load_batches(examples: Examples, batches: Iterable[list[int]], workers: int) -> Iterator[list[Example]]:
    """Yield the examples of each batch, decoded ahead by `workers` processes.

    Raises:
        InputError: An image cannot be read.
    """
    workers = 0 if workers_problem(workers) else workers
    loader: DataLoader[Any] = DataLoader(
        examples, batch_sampler=batches, num_workers=workers, collate_fn=list, worker_init_fn=loader_workers()
    )
    for batch in loader:
        yield [_as_tensors(example) for example in batch]


def _as_tensors(example: Arrays | InputError) -> Example:
    if isinstance(example, InputError):
        raise example
    image, target = example
    return torch.from_numpy(image), {name: torch.from_numpy(value) for name, value in target.items()}


def mirrored(example: Example) -> Example:
    """Flip an image horizontally, with its boxes and masks."""
    image, target = example
    width = image.shape[2]
    left, top, right, bottom = target["boxes"].unbind(1)
    turned = {**target, "boxes": torch.stack([width - right, top, width - left, bottom], 1)}
    if "masks" in target:
        turned["masks"] = target["masks"].flip(2)
    return image.flip(2), turned
