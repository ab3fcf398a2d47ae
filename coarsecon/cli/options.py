"""What evaluation commands have in common: the run, which features of it, and where results go."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from coarsecon.config import Checkpoint, FeatureLayer

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `coarsecon pretrain`.")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="Another prepared dataset than the run's.")]
EncoderChoice = Annotated[Checkpoint, typer.Option("--encoder", help="The run's last or best encoder.")]
LayerChoice = Annotated[
    FeatureLayer, typer.Option("--layer", help="Features of the backbone, or of the projector that was trained on it.")
]
Flip = Annotated[bool, typer.Option("--flip", help="Average each image's features with those of its mirror image.")]
JsonFile = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - is stdout.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, ...")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes that decode image files.")]


def unusual(command: Callable[..., None], given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Those of the options `names` of a command that were given another value than their default."""
    parameters = inspect.signature(command).parameters
    return {name: given[name] for name in names if given[name] != parameters[name].default}
