"""Draw what evaluations show: the functions that write each kind of figure as PNG, SVG, HTML or CSV."""

import json
from collections.abc import Callable, Mapping
from functools import partial, singledispatch
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from coarsecon.errors import CoarseconError
from coarsecon.evaluation.figures import Clusters, Gallery, HeatMaps, Map
from coarsecon.pictures.images import png
from coarsecon.pictures.origin import NAME
from coarsecon.report.clusters import write_cluster_page, write_cluster_sheet
from coarsecon.report.gallery import write_gallery
from coarsecon.report.heat import with_heat
from coarsecon.report.map_page import write_map_html
from coarsecon.report.map_picture import write_map_png, write_map_svg
from coarsecon.report.projection import draw_map
from coarsecon.report.proposals import proposed_table, shown
from coarsecon.report.sheet import write_heat_sheet, write_sheet
from coarsecon.runtime.files import atomic_write

Writers = Mapping[str, Callable[[Path], Any]]
"""Functions that write a figure to a path, completely or not at all, by suffix."""


@singledispatch
def writers(figure: Any, origin: Mapping[str, Any]) -> Writers:
    """Return the functions that write a figure, by suffix. Other packages may register further kinds.

    A matplotlib figure is written as PNG, SVG or PDF, a Pillow image as PNG.

    Args:
        figure: What an evaluation returned as `Result.figure`.
        origin: The fingerprints of what it was computed from, which the file keeps.

    Raises:
        CoarseconError: This kind of figure is not known.
    """
    if type(figure).__module__.startswith("matplotlib."):  # not imported unless an evaluation uses it
        write = partial(_write_plot, figure=figure, origin=origin)
        return {suffix: partial(write, suffix=suffix) for suffix in ("png", "svg", "pdf")}
    raise CoarseconError(
        f"figure of type {type(figure).__name__}", "cannot be written",
        "return a matplotlib figure or a Pillow image, or register the type with coarsecon.report.figures.writers",
    )  # fmt: skip


def _write_plot(path: Path, figure: Any, suffix: str, origin: Mapping[str, Any]) -> None:
    stream = BytesIO()
    figure.savefig(stream, format=suffix, metadata={NAME: json.dumps(origin)} if suffix == "png" else None)
    atomic_write(path, stream.getvalue())


@writers.register
def _(figure: Image.Image, origin: Mapping[str, Any]) -> Writers:
    return {"png": lambda path: atomic_write(path, png(figure, origin))}


@writers.register
def _(figure: Gallery, origin: Mapping[str, Any]) -> Writers:
    rows = figure.rows()
    if figure.heat is not None:
        rows = with_heat(rows, figure.heat)
    title = f"{figure.title}, {figure.subtitle}"
    return {
        "html": partial(write_gallery, rows=rows, title=figure.title, subtitle=figure.subtitle, origin=origin),
        "png": partial(write_sheet, rows=rows, title=title, origin=origin),
    }


@writers.register
def _(figure: HeatMaps, origin: Mapping[str, Any]) -> Writers:
    draw = partial(write_heat_sheet, pictures=figure.pictures, heats=figure.heats, title=figure.title, origin=origin)
    return {"png": draw}


@writers.register
def _(figure: Clusters, origin: Mapping[str, Any]) -> Writers:
    proposals = proposed_table(figure.groups, figure.collection, figure.level, figure.split)
    classes = shown(figure.groups, figure.collection, figure.level, figure.images)
    about: dict[str, Any] = {"title": figure.title, "subtitle": figure.subtitle, "origin": origin}
    return {
        "csv": lambda path: atomic_write(path, proposals),
        "png": partial(write_cluster_sheet, classes=classes, **about),
        "html": partial(write_cluster_page, classes=classes, **about),
    }


@writers.register
def _(figure: Map, origin: Mapping[str, Any]) -> Writers:
    drawn = draw_map(figure.run, figure.split, figure.record)
    found = {"html": write_map_html, "png": write_map_png, "svg": write_map_svg}
    return {suffix: partial(write, drawn=drawn, origin=origin) for suffix, write in found.items()}
