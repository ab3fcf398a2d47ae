"""What a source is: the way from a dataset's original files to images and labels in memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from coarsecon.reporting import Reporter


@dataclass(frozen=True)
class SourceRequest:
    """What the user asked for: where the original files lie, and how to read them.

    `source` is the folder or archive of the original files, `table` a table of images (source `folder` only),
    `size` the side in px the encoder is meant to see (None: the source's own), `workers` the threads that
    convert image files; `seed` is for sources that draw.
    """

    source: Path | None = None
    table: Path | None = None
    size: int | None = None
    download: bool = False
    workers: int = 2
    seed: int = 0
    reporter: Reporter = field(default_factory=Reporter)


@dataclass(frozen=True)
class SplitData:
    """One split: an int64 column [N] per level (-1: unknown), and N images.

    `images` is uint8 [N, 3, S, S] or a list of N image files; `names` is what to call them in search results.
    """

    labels: Mapping[str, np.ndarray]
    images: np.ndarray | list[Path]
    names: list[str] | None = None


@dataclass(frozen=True)
class SourceData:
    """A whole dataset: `levels` names the classes of each label column; there is always a split `train`."""

    name: str
    size: int
    levels: Mapping[str, list[str]]
    splits: Mapping[str, SplitData]
    notes: str = ""


@dataclass(frozen=True)
class Source:
    """A dataset `coarsecon prepare` knows: a name, what it is, and how to read it.

    `about` tells what it holds, its terms and whom to cite; `counts` gives the images of each split (empty
    where they depend on the user's files). `read` verifies them, and raises InputError for unfit files.
    """

    name: str
    about: str
    counts: Mapping[str, int]
    default_size: int
    read: Callable[[SourceRequest], SourceData]
