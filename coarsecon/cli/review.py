"""`coarsecon review RUN`: a local page to name the proposed clusters of a run."""

from pathlib import Path
from typing import Annotated

import typer

from coarsecon.cli.console import closing, processors
from coarsecon.cli.options import (
    CheckpointChoice,
    DataFolder,
    Device,
    Flip,
    LayerChoice,
    RunArgument,
    Who,
    Workers,
    user_name,
)
from coarsecon.cli.processes import single_process
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.cli.serving import Host, OpenBrowser, Port, serve_until_interrupted
from coarsecon.run.folder import open_run
from coarsecon.runtime.extras import require_extra

DEFAULT_NAME = "reviewed"


@single_process
def review(
    run: RunArgument,
    name: Annotated[
        str, typer.Option(help="Name of the review. An existing one continues, another name starts a new one.")
    ] = DEFAULT_NAME,
    proposal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Table of `coarsecon cluster` that a new review starts from. Default: the newest in RUN/results.",
        ),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write the labels so far to a table, and serve nothing.")
    ] = None,
    who: Who = None,
    data: DataFolder = None,
    host: Host = "127.0.0.1",
    port: Port = 8766,
    open_browser: OpenBrowser = False,
    checkpoint: CheckpointChoice = "last",
    layer: LayerChoice = "backbone",
    flip: Flip = False,
    device: Device = "auto",
    workers: Workers = 2,
) -> None:
    """Serve a local page to name, merge, split and correct proposed clusters; --export writes the labels."""
    from coarsecon.review.folder import export_labels, journal_path, open_or_start

    opened = open_run(run)
    if export is not None:
        export_labels(opened, name, export)
        closing([export], [])
        return
    require_extra("serve", "starlette", "uvicorn", needed_by="coarsecon review")
    from coarsecon.review.proposal import places_in
    from coarsecon.review.session import Session
    from coarsecon.run.facade import Run
    from coarsecon.run.spec import FeatureSpec, Runtime
    from coarsecon.serve.review import create_review_app
    from coarsecon.serve.server import listen

    reporter = ConsoleReporter()
    who = user_name(who)
    with listen(host, port) as listening, open_or_start(opened, name, proposal, who, reporter) as journal:
        session = Run(
            opened, data, features=FeatureSpec(checkpoint, layer, flip), runtime=Runtime(device, workers, reporter)
        )
        split = journal.state.proposal.split
        places = places_in(session.dataset.split(split).names, journal.state.proposal, session.dataset.root)
        images = session.dataset.split(split)
        app = create_review_app(
            Session(journal, session.features(split)[places], who), lambda image: images.image(places[image]), opened,
            name=name, hosts=[host], workers=processors(),
        )  # fmt: skip
        shown = "sees these images and can change the review"
        serve_until_interrupted(app, listening, reporter, host=host, shown=shown, open_browser=open_browser)
    named = ["--name", name] if name != DEFAULT_NAME else []
    closing([journal_path(opened, name)], ["coarsecon", "review", run, *named, "--export", f"{name}.csv"])
