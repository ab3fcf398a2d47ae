"""The parts of a combined run: the encoders of other runs, with weights, as complete copies in its folder."""

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from coarsecon.config import Settings
from coarsecon.errors import InputError
from coarsecon.run.folder import RunFolder
from coarsecon.runtime.documents import read_json_object
from coarsecon.runtime.settings import validate

MAX_PARTS, MAX_WEIGHT = 16, 1e6
COMBINE_AGAIN = "combine the runs again"


class Part(Settings):
    """An encoder of a combined run: the run and checkpoint that it was copied from, and its weight."""

    run: str
    checkpoint: str
    weight: float = Field(gt=0, le=MAX_WEIGHT)


class Combination(Settings):
    """Content of `combined.json`. The copy of part N is the run folder `parts/N`, counted from 1."""

    format_version: Literal[1] = 1
    parts: list[Part] = Field(min_length=2, max_length=MAX_PARTS)


def part_path(run: RunFolder, number: int) -> Path:
    """Return the folder of a part, counted from 1."""
    return run.root / "parts" / str(number)


def read_combination(run: RunFolder) -> Combination:
    """Read which encoders a combined run consists of.

    Raises:
        InputError: The file is missing, damaged, or a link that leads out of the run.
    """
    path = run.combined_file
    if not run.owns(path):
        raise InputError(path, "a symbolic link that leads out of the run", COMBINE_AGAIN)
    try:
        content = read_json_object(path, remedy=COMBINE_AGAIN)
    except FileNotFoundError:
        raise InputError(path, "does not exist", COMBINE_AGAIN) from None
    try:
        return validate(Combination, content)
    except InputError as error:
        raise InputError(path, str(error), COMBINE_AGAIN) from None


def part_folders(run: RunFolder) -> list[RunFolder]:
    """Return the run folders of the parts of a combined run; empty for a run with one encoder.

    Raises:
        InputError: A part is missing, outside of the run, or combined itself.
    """
    if not run.is_combined:
        return []
    parts = [RunFolder(part_path(run, number)) for number, _ in enumerate(read_combination(run).parts, 1)]
    for part in parts:
        files = (part.root, part.config_file, part.encoder(), part.heads())
        if any(file.exists() and not run.owns(file) for file in files):
            raise InputError(part.root, "a symbolic link in it leads out of the run", COMBINE_AGAIN)
        if part.is_combined:
            raise InputError(part.root, "is a combined run itself", COMBINE_AGAIN)
        if not part.encoder().is_file():
            raise InputError(part.encoder(), "does not exist", COMBINE_AGAIN)
    return parts


def combined_mark(weights: list[float], marks: list[str]) -> str:
    """Return the fingerprint of encoders with these weights and fingerprints, in 12 characters."""
    return hashlib.sha256(json.dumps([weights, marks]).encode()).hexdigest()[:12]


def one_encoder_needed(run: RunFolder) -> InputError:
    """Return the error for a combined run where one network is needed."""
    count = len(read_combination(run).parts)
    return InputError(
        run.root, f"combines {count} encoders, and this needs a single network", f"use a part: {part_path(run, 1)}"
    )
