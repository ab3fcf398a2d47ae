"""Images with boxes, classes, and masks of their objects, read from VOC or COCO annotations."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coarsecon.data.formats.images import MAX_PIXELS
from coarsecon.data.formats.names import path_on_disk
from coarsecon.detection.masks import Segmentation
from coarsecon.errors import InputError

Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True)
class Instance:
    """Object with a box (left, top, right, bottom), in pixels from 0 and inside the image, and a class."""

    box: tuple[float, float, float, float]
    label: str
    crowd: bool = False
    """Many objects in one region (COCO): not trained on, and detections inside it are ignored."""
    difficult: bool = False
    """Marked as difficult (VOC): ignored if not detected."""
    mask: Segmentation | None = None


@dataclass(frozen=True)
class Annotated:
    """Image file with its annotated size and objects."""

    image: Path
    size: Size
    instances: Sequence[Instance]

    def boxes(self) -> NDArray[np.float32]:
        """Return the boxes of all objects [N, 4]."""
        return np.array([each.box for each in self.instances], np.float32).reshape(-1, 4)

    def trainable(self, *, difficult: bool) -> "Annotated":
        """Return the image with only the objects to train on."""
        kept = [each for each in self.instances if not each.crowd and (difficult or not each.difficult)]
        return Annotated(self.image, self.size, kept)


@dataclass(frozen=True)
class DetectionSet:
    """Annotated images; `origin` is the file they were read from, for messages."""

    origin: str
    images: Sequence[Annotated]

    def classes(self) -> list[str]:
        """Return the sorted names of the classes that have a box."""
        return sorted({each.label for image in self.images for each in image.instances})

    def trainable(self, *, difficult: bool) -> "DetectionSet":
        """Return the images with an object to train on, and those objects.

        Raises:
            InputError: There are none.
        """
        images = [image.trainable(difficult=difficult) for image in self.images]
        if not any(image.instances for image in images):
            raise InputError(self.origin, "no box to train on")
        return DetectionSet(self.origin, [image for image in images if image.instances])


def joined(sets: Sequence[DetectionSet]) -> DetectionSet:
    """Join the images of several sets."""
    return DetectionSet(", ".join(each.origin for each in sets), [image for each in sets for image in each.images])


def annotations_mark(images: DetectionSet) -> str:
    """Return a fingerprint of the image names and objects of a set, in 12 characters."""
    digest = hashlib.sha256()
    for image in images.images:
        objects = [(each.box, each.label, each.crowd, each.difficult) for each in image.instances]
        digest.update(repr((image.image.name, image.size, objects)).encode())
    return digest.hexdigest()[:12]


def check_classes(train: DetectionSet, test: DetectionSet) -> list[str]:
    """Return the training classes, sorted.

    Raises:
        InputError: There is nothing to evaluate on, or a class without a training box.
    """
    known, asked = train.classes(), test.classes()
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise InputError(
            test.origin,
            f"{', '.join(map(repr, unknown[:5]))} has no box in the training images ({train.origin})",
            "add some there, or remove the class here",
        )
    if not any(not (each.crowd or each.difficult) for image in test.images for each in image.instances):
        raise InputError(test.origin, "no box to evaluate on")
    return known


def clipped(box: Sequence[float], size: Size, where: str) -> tuple[float, float, float, float] | None:
    """Clip a box to the image; return None if it is outside.

    Raises:
        InputError: It ends before it begins, or a coordinate is not a number.
    """
    left, top, right, bottom = box
    if not all(map(isfinite, box)) or right < left or bottom < top:
        raise InputError(where, f"{[round(value, 2) for value in box]} is no box (left, top, right, bottom)")
    height, width = size
    left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
    return (left, top, right, bottom) if right > left and bottom > top else None


def image_size(height: float | None, width: float | None, where: str) -> Size:
    """Check and return the size in an annotation.

    Raises:
        InputError: It is not a size, or the image is too large to read.
    """
    if height is None or width is None or not (height >= 1 and width >= 1 and height % 1 == 0 and width % 1 == 0):
        raise InputError(where, f"width and height of the image are {width} and {height}")
    if height * width > MAX_PIXELS:
        raise InputError(where, f"{width:.0f} x {height:.0f} px is more than is read", "shrink or remove the image")
    return int(height), int(width)


def file_in(folder: Path, name: str, where: str) -> Path:
    """Return the path of the file `name` in `folder`.

    Raises:
        InputError: The name leads out of the folder, or there is no such file.
    """
    parts = re.split(r"[/\\]", name)
    if "\0" in name or ":" in name or any(part in ("", ".", "..") for part in parts):
        raise InputError(where, f"{name!r} is not the name of a file inside {folder}")
    path = path_on_disk(folder.joinpath(*parts))
    if not path.is_file():
        raise InputError(where, f"there is no image {path}")
    return path
