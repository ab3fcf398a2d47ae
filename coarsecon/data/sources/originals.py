"""Where a dataset's original files lie: in a folder or in an archive of it, given, found there, or fetched."""

import os
from dataclasses import dataclass
from pathlib import Path

from coarsecon.data.sources import SourceRequest
from coarsecon.data.sources.download import download
from coarsecon.errors import InputError


@dataclass(frozen=True)
class Originals:
    """A dataset as it was published.

    `folder` is known by the file or folder `marker` in it; `archives` are what it comes packed as. `url` and
    `md5` are a direct link to the first archive, where there is one; `by_hand` says where else to get it.
    """

    folder: str
    marker: str
    archives: tuple[str, ...]
    url: str = ""
    md5: str = ""
    by_hand: str = ""

    @property
    def again(self) -> str:
        """What to do when the files are missing or unfit."""
        return "fetch the files again or pass --download" if self.url else self.by_hand

    @property
    def _wanted(self) -> str:
        return " or ".join([f"the folder {self.folder}", *self.archives])


def find_originals(originals: Originals, request: SourceRequest) -> Path:
    """The folder or the archive to read: the source itself, or what lies in it, or what is fetched to there.

    Raises:
        InputError: neither is there, and it may not or cannot be fetched.
    """
    if request.download and not originals.url:
        raise InputError("--download", "there is no direct link", originals.by_hand)
    if request.source is None and not request.download:
        rest = ", or pass --download" if originals.url else f"; {originals.by_hand}"
        raise InputError(f"give {originals._wanted} with --source{rest}")
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
    raise InputError(f"{source} holds neither {originals._wanted.replace(' or ', ' nor ')}; {originals.again}")


def original_home(request: SourceRequest) -> Path:
    """The source that was given, or where fetched files are kept."""
    if request.source is not None:
        return request.source
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coarsecon"
