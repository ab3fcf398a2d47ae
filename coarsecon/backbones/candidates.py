"""Backbones that the user names, with the image sizes and poolings to try."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coarsecon.backbones.catalog import CATALOG, OPEN_CLIP
from coarsecon.config import Pooling
from coarsecon.errors import InputError
from coarsecon.nn.backbone import check_name

Kind = Literal["timm", "file", "random", "run"]

RANDOM = "random"
"""NAME=random is the network with random weights, the least that any weights must exceed."""

OPEN_CLIP_PREFIX = "open_clip:"
"""open_clip:MODEL/WEIGHTS is a vision tower by its names in open_clip."""

FORMS = "NAME, NAME=FILE, NAME=random, or a run folder"


@dataclass(frozen=True)
class Candidate:
    """Backbone to evaluate: `text` as it was given, the network's `name`, and its `file` or run folder."""

    text: str
    kind: Kind
    name: str
    file: Path | None = None

    @property
    def label(self) -> str:
        """Name for folders and tables, which distinguishes weights of one network."""
        if self.file is None:
            return f"{self.name}-{RANDOM}" if self.kind == "random" else self.name
        if self.kind == "run":
            return str(self.file)
        stem = self.file.stem
        return stem if stem.startswith(self.name) else f"{self.name}-{stem}"


@dataclass(frozen=True)
class Variant:
    """Candidate at an image size in pixels and with a pooling; None for its usual one."""

    candidate: Candidate
    size: int | None = None
    pooling: Pooling | None = None

    @property
    def label(self) -> str:
        """Name for folders and tables."""
        parts = [f"{self.size}px"] * (self.size is not None) + [str(self.pooling)] * (self.pooling is not None)
        return "-".join([self.candidate.label, *parts])

    @property
    def folder(self) -> str:
        """Name of the run folder."""
        return re.sub(r"[^A-Za-z0-9._=+-]+", "_", self.label)


def parse_candidate(text: str) -> Candidate:
    """Parse a name from the command line.

    Raises:
        InputError: There is no such network, file, or run.
    """
    if (Path(text) / "config.yaml").is_file():
        return Candidate(text, "run", Path(text).name, Path(text))
    if text.startswith(OPEN_CLIP_PREFIX):
        return Candidate(text, "timm", _tower(text.removeprefix(OPEN_CLIP_PREFIX)))
    name, separator, value = text.partition("=")
    if separator and name and value == RANDOM:
        return Candidate(text, "random", _known(name))
    if separator and name and value:
        if not Path(value).is_file():
            raise InputError(value, "no such file", f"name a backbone as {FORMS}")
        return Candidate(text, "file", _known(name), Path(value))
    if Path(text).is_file():
        raise InputError(text, "the name of its network is needed", f"write NAME={text}")
    if Path(text).exists() or "/" in text or separator:
        raise InputError(text, "neither a run folder nor the name of a network", f"name a backbone as {FORMS}")
    return Candidate(text, "timm", _known(text))


def parse_candidates(texts: Sequence[str]) -> list[Candidate]:
    """Parse names, each once; without any, those of the default list."""
    return [parse_candidate(text) for text in dict.fromkeys(texts or [entry.name for entry in CATALOG])]


def _tower(name: str) -> str:
    if name not in OPEN_CLIP:
        hint = f"use timm's name of the tower, a file (NAME=FILE), or one of {', '.join(OPEN_CLIP)}"
        raise InputError(f"{OPEN_CLIP_PREFIX}{name}", "is no vision tower that is known by this name", hint)
    return OPEN_CLIP[name]


def _known(name: str) -> str:
    check_name(name)
    return name
