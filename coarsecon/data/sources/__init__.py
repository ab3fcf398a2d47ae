"""The interface of a dataset source: original files in, images and labels out."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict

from coarsecon import registry
from coarsecon.data.formats.images import ImageFile as ImageFile
from coarsecon.data.formats.images import Stored as Stored
from coarsecon.errors import CoarseconError
from coarsecon.runtime.progress import Reporter


@dataclass(frozen=True)
class SourceRequest:
    """The parameters that all sources share.

    Attributes:
        source: Folder or archive of the original files.
        size: Image size in pixels that the encoder will see; None: the default of the source.
        download: Download the original files if they are missing.
        workers: Number of processes that convert image files.
        reporter: Receives messages and progress.
    """

    source: Path | None = None
    size: int | None = None
    download: bool = False
    workers: int = 2
    reporter: Reporter = field(default_factory=Reporter)


class SourceConfig(BaseModel):
    """Base of the options of a source; each field becomes an option of `coarsecon prepare NAME`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Chunked:
    """Images that are read in pieces, so that a million of them need little memory.

    Attributes:
        count: Number of images.
        image_size: Image size in pixels.
        pieces: Starts from the first image; each piece is uint8 [n, 3, S, S].
    """

    count: int
    image_size: int
    pieces: Callable[[], Iterator[np.ndarray]]

    def __len__(self) -> int:
        return self.count


Images = np.ndarray | Chunked | Sequence[ImageFile]


@dataclass(frozen=True)
class SplitData:
    """One split of a dataset.

    Attributes:
        labels: An int64 column [N] per level; -1 where the label is unknown.
        images: uint8 [N, 3, S, S], the same in pieces, or N image files.
        names: Names of the images in search results.
        groups: What each image shows (one object, one animal, one session), "" if unknown: images with the same value
            belong together.
    """

    labels: Mapping[str, np.ndarray]
    images: Images
    names: list[str] | None = None
    groups: list[str] | None = None


@dataclass(frozen=True)
class SourceData:
    """A complete dataset, as a source reads it.

    Attributes:
        name: Name of the dataset.
        size: Image size in pixels.
        levels: Class names of each label level.
        splits: Splits by name; `train` is required.
        notes: Sentences that the prepared dataset keeps.
        copies: File format of resized copies of large images, unless the user asks for another.
    """

    name: str
    size: int
    levels: Mapping[str, list[str]]
    splits: Mapping[str, SplitData]
    notes: str = ""
    copies: Literal["jpeg", "png"] = "jpeg"


class Source:
    """A dataset that `coarsecon prepare` can read. Subclasses set the attributes and define `read`.

    Attributes:
        name: Name on the command line.
        about: Contents of the dataset and the original files that are read.
        counts: Number of images per split; empty if it depends on the user's files.
        levels: Number of classes per label level; empty if it depends on the user's files.
        default_size: Image size in pixels unless the user asks for another.
        url: Home page.
        terms: License or terms of use.
        citation: Paper to cite.
        disk: Disk space of the original files and of the prepared dataset.
    """

    Config: type[SourceConfig] = SourceConfig

    name: str
    about: str = ""
    counts: Mapping[str, int] = {}
    levels: Mapping[str, int] = {}
    default_size: int = 224
    url: str = ""
    terms: str = ""
    citation: str = ""
    disk: str = ""

    def read(self, request: SourceRequest, config: Any) -> SourceData:
        """Verify and read the original files.

        Args:
            request: The parameters that all sources share.
            config: The options of this source, an instance of `Config`.

        Raises:
            InputError: The original files are missing or damaged.
        """
        raise NotImplementedError

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options in `Config`."""
        return tuple(self.Config.model_fields)

    @property
    def variants(self) -> tuple[str, ...]:
        """Choices of the option `variant`, the default first; empty if the source has no such option."""
        variant = self.Config.model_fields.get("variant")
        return get_args(variant.annotation) if variant and get_args(variant.annotation)[1:] != (type(None),) else ()


def find_source(name: str) -> Source:
    """Return the installed source called `name`; its entry point names an object, or a class without arguments.

    Raises:
        InputError: There is no such source.
        CoarseconError: It cannot be imported, or is not a source.
    """
    entry = registry.find(registry.DATASETS, name)
    found = entry.load()
    source = found() if inspect.isclass(found) else found
    if not isinstance(source, Source):
        problem = f"{entry.value} is not a coarsecon.data.sources.Source"
        raise CoarseconError(entry.subject, problem, "fix or uninstall the package")
    return source
