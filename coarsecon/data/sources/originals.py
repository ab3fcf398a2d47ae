"""Find or download the original files of a dataset: a folder, or an archive of it."""

import os
from dataclasses import dataclass
from pathlib import Path

from coarsecon.data.sources import SourceRequest
from coarsecon.data.sources.download import download
from coarsecon.errors import InputError


@dataclass(frozen=True)
class Originals:
    """A dataset as it was published.

    Attributes:
        folder: Name of the unpacked folder.
        marker: File or folder in it, by which it is recognized.
        archives: Names of its archives.
        url: Direct link to the first archive, if there is one.
        md5: MD5 of the first archive.
        by_hand: Instructions to download it manually.
    """

    folder: str
    marker: str
    archives: tuple[str, ...]
    url: str = ""
    md5: str = ""
    by_hand: str = ""

    @property
    def again(self) -> str:
        """Remedy for missing or damaged files."""
        return "download the files again, or set download" if self.url else self.by_hand

    @property
    def wanted(self) -> str:
        """Names of the folder and the archives, in words."""
        return " or ".join([f"the folder {self.folder}", *self.archives])


def find_originals(originals: Originals, request: SourceRequest) -> Path:
    """Return the folder or archive to read: the source itself, one inside it, or one that is downloaded there.

    Raises:
        InputError: Neither exists, and it may not or cannot be downloaded.
    """
    if request.download and not originals.url:
        raise InputError("download", "there is no direct link", originals.by_hand)
    if request.source is None and not request.download:
        rest = ", or set download" if originals.url else f"; {originals.by_hand}"
        raise InputError("source", "missing", f"name {originals.wanted}{rest}")
    source = original_home(request)
    if source.is_file():
        return source
    for folder in (source, source / originals.folder):
        if (folder / originals.marker).exists():
            return folder
    for archive in originals.archives:
        if (source / archive).is_file() and not request.download:
            return source / archive
    if request.download:
        return download(originals.url, source / originals.archives[0], md5=originals.md5, reporter=request.reporter)
    raise InputError(source, f"does not contain {originals.wanted}", originals.again)


def check_size(request: SourceRequest, size: int) -> None:
    """Raise InputError if another image size is requested of a dataset whose images are used as they are."""
    if request.size not in (None, size):
        raise InputError("size", f"the original images have {size} px, not {request.size}", "omit it")


def original_home(request: SourceRequest) -> Path:
    """Return the given source, or the folder for downloaded files."""
    if request.source is not None:
        return request.source
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coarsecon"
