"""`coarsecon export RUN`: the encoder for timm, ONNX, torch.export, the hub, torchvision or detectron2."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from coarsecon.cli.console import ConsoleReporter, closing
from coarsecon.cli.options import EncoderChoice, RunArgument
from coarsecon.cli.processes import single_process
from coarsecon.errors import InputError, NotWritableError
from coarsecon.run.folder import open_run

Format = Literal["timm", "onnx", "torch-export", "hub", "torchvision", "detectron2"]


@single_process
def export(
    run: RunArgument,
    format: Annotated[
        Format,
        typer.Option(
            help="timm: a folder that timm loads; onnx and torch-export: pixels to embedding in one file; hub: for the "
            "Hugging Face hub, with a model card; torchvision and detectron2: weights for their ResNets."
        ),
    ] = "timm",
    out: Annotated[Path | None, typer.Option(help="Folder to write; default RUN/export/FORMAT.")] = None,
    encoder: EncoderChoice = "last",
    push: Annotated[
        str | None, typer.Option(metavar="REPO", help="Upload to this repository of the hub, OWNER/NAME.")
    ] = None,
) -> None:
    """Write the encoder, with its input transform, for other tools; it is compared with the run's before it is kept."""
    opened = open_run(run)
    if push is not None and format != "hub":
        raise InputError("--push is for --format hub")
    target = out or opened.root / "export" / format
    if out is None:
        opened.check_owned(target)
    from coarsecon.exporters import export as write
    from coarsecon.exporters import hub

    reporter = ConsoleReporter()
    try:
        notes = write(opened, format, target, which=encoder)
    except NotWritableError as error:
        raise NotWritableError(f"{error}; pass --out FOLDER to write it elsewhere") from error
    for note in notes:
        reporter.info(note.replace("FOLDER", str(target)))
    if push is not None:
        reporter.info(f"pushed to {hub.push(target, push)}")
    closing([target], [])
