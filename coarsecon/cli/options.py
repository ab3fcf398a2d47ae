"""Common options of evaluation commands: the run, its features, and the JSON file."""

import getpass
import warnings
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from coarsecon.cli.console import JsonFile as JsonFile
from coarsecon.config import Checkpoint, FeatureLayer
from coarsecon.errors import InputError

T = TypeVar("T")

OTHER_CHECKPOINTS = ", of the best monitored one, or the weights that training started from"
"""End of the help text on checkpoints."""

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `coarsecon pretrain`.")]
DataFolder = Annotated[
    Path | None, typer.Option("--data", help="Prepared dataset to evaluate on. Default: the run's.", show_default=False)
]
CheckpointChoice = Annotated[
    Checkpoint, typer.Option("--checkpoint", help=f"Encoder of the last epoch{OTHER_CHECKPOINTS}.")
]
OldCheckpoint = Annotated[Checkpoint | None, typer.Option("--encoder", hidden=True, help="Now called --checkpoint.")]
LayerChoice = Annotated[
    FeatureLayer, typer.Option("--layer", help="Features of the backbone, or of the projector trained on it.")
]
Flip = Annotated[bool, typer.Option("--flip", help="Average each image's features with those of its mirror image.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, ...")]
Who = Annotated[
    str | None, typer.Option(help="Who makes the change. Default: the name of the user.", show_default=False)
]

Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes that decode image files.")]

COMMON: dict[str, tuple[Any, Any]] = {
    "data": (DataFolder, None),
    "checkpoint": (CheckpointChoice, "last"),
    "encoder": (OldCheckpoint, None),
    "layer": (LayerChoice, "backbone"),
    "flip": (Flip, False),
    "json": (JsonFile, None),
    "device": (Device, "auto"),
    "workers": (Workers, 2),
}
"""The options of every evaluation, with their defaults."""


def chosen_checkpoint(checkpoint: T, encoder: T | None) -> T:
    """Return the value of --checkpoint, or that of its former name --encoder, with a warning."""
    if encoder is None:
        return checkpoint
    warnings.warn("--encoder is now called --checkpoint", FutureWarning, stacklevel=3)
    return encoder


def user_name(who: str | None) -> str:
    """Return `who`, or else the name of the user.

    Raises:
        InputError: It is not known.
    """
    if who is not None:
        return who
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise InputError("who", "the name of the user is not known", "pass who") from None
