"""Clusters with their most typical images, for a person to name, as a PNG and as a self-contained page."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw

from coarsecon.pictures.draw import INK, MUTED, PAPER, WELL, write
from coarsecon.pictures.grid import paste_tile
from coarsecon.pictures.images import png
from coarsecon.pictures.origin import Origin
from coarsecon.pictures.rows import Picture
from coarsecon.report.page import Fragment, render, write_page
from coarsecon.runtime.files import atomic_write

TILE, GAP, MARGIN = 96, 10, 36
NAMES, HEADING, LINE = 230, 62, 19
"""Widths and heights in pixels: column of names, head of a class, line of small text."""


class Cluster(NamedTuple):
    """Cluster with its name, facts (one per line) and most typical images."""

    name: str
    facts: Sequence[str]
    pictures: Sequence[Picture]


class ClusteredClass(NamedTuple):
    """Class whose images were clustered: its name, a line of facts and its clusters."""

    name: str
    facts: str
    clusters: Sequence[Cluster]


def write_cluster_sheet(
    path: Path | str, classes: Sequence[ClusteredClass], *, title: str, subtitle: str, origin: Origin | None = None
) -> None:
    """Write a PNG with a block for each class and a row of images for each cluster."""
    columns = max((len(cluster.pictures) for found in classes for cluster in found.clusters), default=0)
    width = max(MARGIN + NAMES + columns * (TILE + GAP) - GAP, 720) + MARGIN
    rows = sum(len(found.clusters) for found in classes)
    head = MARGIN + 68
    sheet = Image.new("RGB", (width, head + len(classes) * (HEADING + GAP) + rows * (TILE + GAP) + MARGIN // 2), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, MARGIN - 8), title, 26, INK, width - 2 * MARGIN)
    write(draw, (MARGIN, MARGIN + 28), subtitle, 15, MUTED, width - 2 * MARGIN)
    y = head
    for found in classes:
        draw.line((MARGIN, y + 6, width - MARGIN, y + 6), WELL, 2)
        write(draw, (MARGIN, y + 20), found.name, 20, INK, NAMES - 2 * GAP)
        write(draw, (MARGIN + NAMES, y + 24), found.facts, 15, MUTED, width - 2 * MARGIN - NAMES)
        y += HEADING
        for cluster in found.clusters:
            write(draw, (MARGIN, y + 4), cluster.name, 16, INK, NAMES - 2 * GAP)
            for line, fact in enumerate(cluster.facts):
                write(draw, (MARGIN, y + 28 + line * LINE), fact, 14, MUTED, NAMES - 2 * GAP)
            for place, picture in enumerate(cluster.pictures):
                paste_tile(sheet, picture.pixels, (MARGIN + NAMES + place * (TILE + GAP), y), TILE)
            y += TILE + GAP
        y += GAP
    atomic_write(path, png(sheet, origin))


def write_cluster_page(
    path: Path | str, classes: Sequence[ClusteredClass], *, title: str, subtitle: str, origin: Origin | None = None
) -> None:
    """Write the same as a self-contained page with links to the classes. The same classes give the same bytes."""
    body = render("clusters.html", title=title, subtitle=subtitle, classes=classes)
    write_page(path, title, Fragment(body, styles=("clusters.css",)), origin=origin)
