"""Figures of evaluations as data; `coarsecon.report.figures` draws them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coarsecon.discovery.groups import Group
    from coarsecon.evaluation.localizer import Heat
    from coarsecon.pictures.rows import GalleryRow, Picture, Pixels
    from coarsecon.run.facade import Run
    from coarsecon.search.collection import Collection


@dataclass(frozen=True)
class Gallery:
    """Queries with their neighbors; `rows` computes them, and `heat` the heat maps [h, w] of images, if wanted."""

    rows: "Callable[[], Sequence[GalleryRow]]"
    title: str
    subtitle: str
    heat: "Callable[[Sequence[Pixels]], Sequence[Heat]] | None" = None


@dataclass(frozen=True)
class HeatMaps:
    """Images and their heat maps, side by side."""

    pictures: "Sequence[Picture]"
    heats: "Sequence[Heat]"
    title: str


@dataclass(frozen=True)
class Clusters:
    """Clusters of a collection inside the classes of a label level, with `images` of each."""

    groups: "Sequence[Group]"
    collection: "Collection"
    level: str
    split: str
    images: int
    title: str
    subtitle: str


@dataclass(frozen=True)
class Map:
    """Images of a split in the plane: a record of `coarsecon.evaluation.tsne.map_split`."""

    run: "Run"
    split: str
    record: dict[str, Any]
