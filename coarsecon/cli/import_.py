"""`coarsecon import FILE`: a published or otherwise found checkpoint as a run folder."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from coarsecon.cli.console import ConsoleReporter, closing
from coarsecon.cli.processes import single_process

Form = Literal["maskcon", "ancor", "supcon", "ascl", "moco", "salmask", "swav", "timm", "torchvision"]


@single_process
def import_(
    file: Annotated[Path, typer.Argument(help="The checkpoint.")],
    form: Annotated[Form, typer.Option("--from", help="Whose code wrote it.")],
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    data: Annotated[
        Path | None, typer.Option(help="A prepared dataset that evaluations then take; gives size and statistics.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="timm's name of the network; ResNets are recognised by their weights.")
    ] = None,
    stem: Annotated[
        Literal["small", "small-pool", "standard"] | None, typer.Option(help="Where the weights do not tell.")
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Side of its images in pixels.")] = None,
    normalise: Annotated[
        Literal["imagenet", "cifar10", "cifar100", "data"] | None,
        typer.Option(help="By which mean and std; by default imagenet above 64 px, else the dataset's own."),
    ] = None,
    filter: Annotated[
        Literal["none", "high-pass"] | None, typer.Option(help="What it was trained to see images through.")
    ] = None,
    weights_key: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which weights of a file with several, by their key or a part of their prefix, for example "
            "state_dict_ema or teacher; default: plain weights before averaged ones.",
        ),
    ] = None,
) -> None:
    """Turn a checkpoint into a run that every evaluation takes; what of it was left out is named."""
    from coarsecon.importers import Wishes, import_checkpoint

    wishes = Wishes(backbone=backbone, stem=stem, size=size, normalise=normalise, filter=filter, key=weights_key)
    account = import_checkpoint(file, form, out, data=data, wishes=wishes)
    reporter = ConsoleReporter()
    for word, things in vars(account).items():
        if things:
            reporter.info(f"{word.replace('_', ' ')}: {'; '.join(things)}")
    closing([out], ["coarsecon", "retrieve", out, *(["--data", "DIR"] if data is None else [])])
