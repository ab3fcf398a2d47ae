"""`coarsecon serve RUN`: a local page to search with your images."""

from typing import Annotated

import typer

from coarsecon.cli.console import closing, processors
from coarsecon.cli.options import (
    CheckpointChoice,
    DataFolder,
    Device,
    Flip,
    LayerChoice,
    OldCheckpoint,
    RunArgument,
    Workers,
    chosen_checkpoint,
)
from coarsecon.cli.processes import single_process
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.cli.serving import Host, OpenBrowser, Port, serve_until_interrupted
from coarsecon.metrics.metric import percent
from coarsecon.run.folder import open_run
from coarsecon.runtime.extras import require_extra

RECALL_NEIGHBORS = 12
"""Neighbors of which the recall of an approximate index is measured; the page shows as many at first."""


@single_process
def serve(
    run: RunArgument,
    data: DataFolder = None,
    split: Annotated[str, typer.Option(help="Split to search in.")] = "train",
    index: Annotated[
        str, typer.Option(help="FAISS factory string; Flat is exact. Searches within a class are always exact.")
    ] = "Flat",
    tuned: Annotated[
        bool, typer.Option("--tuned", help="Search with the settings that `retrieve --tune` stored in the run.")
    ] = False,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    open_browser: OpenBrowser = False,
    checkpoint: CheckpointChoice = "last",
    encoder: OldCheckpoint = None,
    layer: LayerChoice = "backbone",
    flip: Flip = False,
    device: Device = "auto",
    workers: Workers = 2,
) -> None:
    """Serve a local search page: drop an image, see its nearest neighbors, and mark wrong ones in a CSV."""
    opened = open_run(run)
    require_extra("serve", "starlette", "uvicorn", needed_by="coarsecon serve")
    from coarsecon.run.facade import Run
    from coarsecon.run.spec import FeatureSpec, Runtime
    from coarsecon.search.index import SearchIndex, index_recall
    from coarsecon.serve.app import create_app
    from coarsecon.serve.finder import Finder
    from coarsecon.serve.marks import Marks
    from coarsecon.serve.server import listen

    reporter = ConsoleReporter()
    opened.check_owned(opened.results / "marks.csv")
    marks = Marks(opened.results / "marks.csv")
    before = len(marks)
    with listen(host, port) as listening:  # report a port that is in use before any work
        spec = FeatureSpec(chosen_checkpoint(checkpoint, encoder), layer, flip)
        session = Run(opened, data, features=spec, runtime=Runtime(device, workers, reporter))
        finder = Finder.of(session, split, index, tuned=tuned)
        app = create_app(finder, marks, opened, names=[host], workers=processors())
        if isinstance(finder.index, SearchIndex) and not finder.index.exact:
            recall = index_recall(finder.index, finder.features, RECALL_NEIGHBORS)
            reporter.info(f"index {index} finds {percent(recall)} % of the true {RECALL_NEIGHBORS} neighbors")
        reporter.info(f"serving {len(finder.items):,} images of {split}")
        shown = "sees these images, searches and marks"
        serve_until_interrupted(app, listening, reporter, host=host, shown=shown, open_browser=open_browser)
    closing([marks.file] if len(marks) != before else [], [])
