"""`coarsecon quickstart`: train and search on toy images, from drawing them to a gallery and a map."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from coarsecon.cli.console import closing, table
from coarsecon.cli.processes import single_process
from coarsecon.cli.progress import ConsoleReporter
from coarsecon.errors import InputError
from coarsecon.metrics.metric import percent
from coarsecon.run.spec import Runtime
from coarsecon.runtime.files import atomic_write, several

METHODS = {
    "maskcon": "MaskCon: coarse labels and images",
    "moco": "MoCo: images only",
    "supce": "cross-entropy: coarse labels only",
}


@single_process
def quickstart(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("quickstart"),
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Number of training epochs (default: the toy recipes').")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the images and of training.")] = 0,
) -> None:
    """Draw toy images, train on their coarse labels with three methods, and compare their fine-grained retrieval."""
    from coarsecon import recipes
    from coarsecon.config import merge, read_config_file
    from coarsecon.data.prepare.dataset import prepare_dataset
    from coarsecon.data.prepared.folder import is_prepared
    from coarsecon.evaluation.pairing import measure_split
    from coarsecon.evaluation.tsne import map_split
    from coarsecon.report.gallery import write_gallery
    from coarsecon.report.map_page import write_map_html
    from coarsecon.report.map_picture import write_map_png
    from coarsecon.report.projection import draw_map
    from coarsecon.run.facade import Run
    from coarsecon.run.folder import RunFolder
    from coarsecon.run.searching import example_rows
    from coarsecon.run.storing import store_result
    from coarsecon.train.pretrain import pretrain
    from coarsecon.train.resolve import build_run_spec
    from coarsecon.train.resuming import check_same_settings, with_resumable
    from coarsecon.train.stopping import InterruptedRunError

    start, reporter = time.monotonic(), ConsoleReporter()
    data = out / "data"
    _check_output(out, data)
    if not is_prepared(data):
        prepare_dataset("toy", data, seed=seed, reporter=reporter)

    sessions, rows, results = {}, [], {}
    for name, what in METHODS.items():
        layers = merge(recipes.read(f"{name}-toy"), {"data": {"path": data}, "run": {"seed": seed}})
        if epochs is not None:
            layers = merge(layers, {"schedule": {"epochs": epochs}})
        reporter.info(what)
        folder = out / "runs" / name
        planned, begun = build_run_spec(layers), RunFolder(folder).config_file.exists()
        if begun:
            saved = with_resumable(read_config_file(RunFolder(folder).config_file), layers)
            check_same_settings(build_run_spec(saved).config, planned.config, folder)
        try:
            run = pretrain(planned, folder, resume=begun, reporter=reporter)
        except InterruptedRunError as stopped:
            raise InterruptedRunError(f"{stopped}; run the same command again to continue") from None
        session = Run(run, None, runtime=Runtime("auto", 0, reporter))
        metrics, *_ = measure_split(session, "test")
        sessions[name], results[name] = session, metrics
        cells = (metrics["fine"]["recall@1"], metrics["fine"]["map@r"], metrics["coarse"]["recall@1"])
        rows.append((what, *map(percent, cells)))
    table(
        "Toy images: retrieval within the test split, in %",
        ["", "fine Recall@1", "fine mAP@R", "coarse Recall@1"],
        rows,
    )

    session = sessions["maskcon"]
    names = ("gallery.html", "map.html", "map.png", "results.json")
    gallery, map_page, map_picture, result = (out / name for name in names)
    title = "Toy images, searched with MaskCon's embedding"
    write_gallery(gallery, example_rows(session, "test", 16, 8), title=title)
    record = map_split(session, "test", "tsne")
    store_result(session, record["method"], "test", record)
    drawn = draw_map(session, "test", record, title="Toy images, mapped by MaskCon's embedding")
    write_map_png(map_picture, drawn)
    write_map_html(map_page, drawn)
    atomic_write(result, json.dumps(results, indent=2))
    reporter.info(f"took {time.monotonic() - start:.0f} s")
    closing([result, gallery, map_page, map_picture], ["coarsecon", "retrieve", out / "runs" / "maskcon"])


def _check_output(out: Path, data: Path) -> None:
    """Raise InputError if the folder holds anything but an earlier quickstart."""
    from coarsecon.data.prepared.folder import is_prepared

    if out.exists() and not out.is_dir():
        raise InputError(out, "is a file", "--out names a folder")
    others = [path.name for path in out.iterdir() if not path.name.startswith(".data.")] if out.is_dir() else []
    if others and not is_prepared(data):
        raise InputError(out, f"holds other files ({several(sorted(others))})", "--out names a new folder")
