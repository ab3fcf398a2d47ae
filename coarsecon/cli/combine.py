"""`coarsecon combine RUN RUN`: several encoders as one run."""

from pathlib import Path
from typing import Annotated

import typer

from coarsecon.cli.console import closing
from coarsecon.cli.processes import single_process
from coarsecon.errors import InputError


@single_process
def combine(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN [RUN...]", help="Run folders; RUN@best takes another checkpoint than the last."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    weights: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Weight of each run's features. Default: 1 each.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Prepared dataset to evaluate on. Default: that of the first run.", show_default=False),
    ] = None,
) -> None:
    """Combine encoders as one run: its features are those of each run, normalized, weighted, and concatenated."""
    from coarsecon.run.combine import combine_runs

    combine_runs(runs, out, weights=_numbers(weights), data=data)
    closing([out], ["coarsecon", "retrieve", out])


def _numbers(text: str | None) -> list[float]:
    try:
        return [] if text is None else [float(number) for number in text.split(",")]
    except ValueError:
        raise InputError("weights", f"{text!r} is no list of numbers", "write them as 1,2") from None
