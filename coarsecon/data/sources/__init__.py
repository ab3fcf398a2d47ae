"""What a source is: the way from a dataset's original files to images and labels in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from coarsecon.data.formats.images import ImageFile, Stored
from coarsecon.errors import InputError
from coarsecon.runtime.progress import Reporter

__all__ = [
    "Chunked",
    "ImageFile",
    "Images",
    "Source",
    "SourceData",
    "SourceRequest",
    "SplitData",
    "Stored",
    "check_request",
]


@dataclass(frozen=True)
class SourceRequest:
    """What the user asked for: where the original files lie, and how to read them.

    `source` is the folder or archive of the original files,
    `size` the side in px the encoder is meant to see (None: the source's own), `workers` the processes that
    convert image files. The others are for sources that name them in `Source.options`: `table` a table of
    images, `variant` one of `Source.variants`, `label_columns` further columns of labels, `coarse_map` a table
    from fine to coarse labels, `path`, `coarse` and `fine` the columns that hold these (None: found by their usual
    names), `keep_na` takes labels such as `NA` for names of classes, `seed` is for sources that draw.
    """

    source: Path | None = None
    table: Path | None = None
    size: int | None = None
    download: bool = False
    workers: int = 2
    variant: str | None = None
    label_columns: tuple[str, ...] = ()
    coarse_map: Path | None = None
    path: str | None = None
    coarse: str | None = None
    fine: str | None = None
    keep_na: bool = False
    seed: int = 0
    reporter: Reporter = field(default_factory=Reporter)


@dataclass(frozen=True)
class Chunked:
    """`count` images of `side` px that come a piece at a time, so that a million of them fit in little memory.

    `pieces()` starts from the first image: uint8 [n, 3, side, side] each, `count` images in all.
    """

    count: int
    side: int
    pieces: Callable[[], Iterator[np.ndarray]]

    def __len__(self) -> int:
        return self.count


Images = np.ndarray | Chunked | Sequence[ImageFile]


@dataclass(frozen=True)
class SplitData:
    """One split: an int64 column [N] per level (-1: unknown), and N images.

    `images` is uint8 [N, 3, S, S], such an array in pieces, or N image files; `names` is what to call them
    in search results.
    """

    labels: Mapping[str, np.ndarray]
    images: Images
    names: list[str] | None = None


@dataclass(frozen=True)
class SourceData:
    """A whole dataset: `levels` names the classes of each label column; there is always a split `train`.

    `copies` is the kind of file that large images become unless the user asks for the other.
    """

    name: str
    size: int
    levels: Mapping[str, list[str]]
    splits: Mapping[str, SplitData]
    notes: str = ""
    copies: Literal["jpeg", "png"] = "jpeg"


@dataclass(frozen=True)
class Source:
    """A dataset `coarsecon prepare` knows: a name, what it is, and how to read it.

    `about` tells what it holds and which original files are read; `counts` gives the images of each split and
    `levels` the classes of each label level (empty where they depend on the user's files). `url` is its home,
    `terms` the licence or terms of use, `citation` the paper, `disk` what the original files and the prepared
    form need. `options` names the fields of a request it understands beside `source`, `size`, `download` and
    `workers`; `variants` are the values of `variant`, the default first. `read` verifies the original files,
    and raises InputError for unfit ones.
    """

    name: str
    about: str
    counts: Mapping[str, int]
    default_size: int
    read: Callable[[SourceRequest], SourceData]
    levels: Mapping[str, int] = field(default_factory=dict)
    url: str = ""
    terms: str = ""
    citation: str = ""
    disk: str = ""
    options: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()


def check_request(source: Source, request: SourceRequest) -> None:
    """Raise InputError where `request` asks for what `source` does not understand, and would leave unheard."""
    unasked = SourceRequest()
    for option in ("table", "variant", "label_columns", "coarse_map", "path", "coarse", "fine", "keep_na", "seed"):
        if option not in source.options and getattr(request, option) != getattr(unasked, option):
            flag = f"--{option.replace('_', '-')}"
            raise InputError(f"{source.name} takes no {flag}; `coarsecon datasets {source.name}` tells what it takes")
    if request.variant is not None and source.variants and request.variant not in source.variants:
        raise InputError(f"{source.name} has no variant {request.variant!r}, only {', '.join(source.variants)}")
