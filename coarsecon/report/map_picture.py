"""A map of features as a picture: a panel per level of labels, and one with a sample of the images in place."""

from collections.abc import Iterable
from math import ceil, cos, pi, sin, sqrt
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from coarsecon.pictures.draw import INK, MUTED, WELL, Color, font, shorten
from coarsecon.pictures.images import fit
from coarsecon.pictures.origin import Origin
from coarsecon.report.feature_map import FeatureMap, Level, spread
from coarsecon.report.palette import UNKNOWN
from coarsecon.report.surface import Place, RasterSheet, Surface, VectorSheet
from coarsecon.runtime.files import atomic_write

Sheet = TypeVar("Sheet", bound=Surface)

PANEL, MARGIN = 760, 40
TITLE_LINE, HEAD_LINE = 56, 36
FEW, MANY = 20, 120
"""Up to FEW classes a legend has large letters; beyond MANY it would be longer than the map."""
TILE, FRAME = 42, 2
"""The longer side of an image on the map, and its frame's width."""
OPACITY = 0.8
STAR, STAR_NAME = 9, 13


def write_map_png(path: Path | str, drawn: FeatureMap, *, origin: Origin | None = None) -> None:
    """Write the map as a PNG; classes have a legend as far as they are not too many."""
    atomic_write(path, _draw(drawn, RasterSheet(*_size(drawn))).save(origin))


def write_map_svg(path: Path | str, drawn: FeatureMap, *, origin: Origin | None = None) -> None:
    """Write the same as vectors, to be scaled and edited; the images are inside the file."""
    atomic_write(path, _draw(drawn, VectorSheet(*_size(drawn))).save(origin))


def _size(drawn: FeatureMap) -> tuple[int, int]:
    panels = len(drawn.levels) + 1
    legend = max((_Legend(level).height for level in drawn.levels), default=0)
    return MARGIN + panels * (PANEL + MARGIN), MARGIN + TITLE_LINE + HEAD_LINE + PANEL + legend + MARGIN


def _draw(drawn: FeatureMap, sheet: Sheet) -> Sheet:
    sheet.text((MARGIN, MARGIN + 22), shorten(drawn.title, _size(drawn)[0] - 2 * MARGIN, 28), 28, INK)
    top = MARGIN + TITLE_LINE + HEAD_LINE
    for column, level in enumerate([*drawn.levels, None]):
        left = MARGIN + column * (PANEL + MARGIN)
        places = _on_panel(drawn.points, (left, top))
        head = level.name if level else "images"
        sheet.text((left, top - 14), head, 20, INK)
        sheet.text((left + font(20, head).getlength(head) + 14, top - 14), _counts(level, len(drawn)), 15, MUTED)
        if level:
            _dots(sheet, places, level)
            _Legend(level).draw(sheet, (left, top + PANEL))
        else:
            _images(sheet, drawn, places)
        if level and drawn.weights and drawn.weights.level == level.name:
            _stars(sheet, _on_panel(drawn.weights.points, (left, top)), level, left + PANEL)
        sheet.box((left, top), (PANEL, PANEL), line=WELL)
    return sheet


def _on_panel(points: NDArray[np.float64], corner: Place) -> NDArray[np.float64]:
    inset = TILE / 2 + 6
    return np.asarray(corner) + inset + points * (PANEL - 2 * inset)


def _radius(count: int) -> float:
    return min(6.0, max(1.8, PANEL * 0.16 / sqrt(count)))


def _dots(sheet: Surface, places: NDArray[np.float64], level: Level) -> None:
    """Unknown ones beneath; the others in mixed order, so that no class hides the rest."""
    order = np.random.default_rng(0).permutation(len(places))
    for i in order[np.argsort(level.labels[order] >= 0, kind="stable")].tolist():
        sheet.disc(tuple(places[i].tolist()), _radius(len(places)), _color(level, i), OPACITY)


def _images(sheet: Surface, drawn: FeatureMap, places: NDArray[np.float64]) -> None:
    """Images that do not overlap, framed in the color of the coarsest level, over all points in gray."""
    for place in places.tolist():
        sheet.disc(tuple(place), _radius(len(places)), UNKNOWN, OPACITY / 2)
    for i in spread(places, TILE + 2 * FRAME + 2):
        image = fit(drawn.pixels(i), TILE)
        width, height = (side * TILE / max(image.size) for side in image.size)
        left, top = places[i][0] - width / 2, places[i][1] - height / 2
        color = _color(drawn.levels[0], i) if drawn.levels else UNKNOWN
        sheet.box((left - FRAME, top - FRAME), (width + 2 * FRAME, height + 2 * FRAME), fill=color)
        sheet.image((left, top), image, (width, height))


def _stars(sheet: Surface, places: NDArray[np.float64], level: Level, end: float) -> None:
    """A star for each class, and its name on that side where no other name is and none passes the panel's `end`."""
    named: list[tuple[float, float, float, float]] = []
    corners = [(STAR / (1 + k % 2 * 1.25), k * pi / 5 - pi / 2) for k in range(10)]
    for (x, y), color in zip(places.tolist(), level.colors, strict=True):
        sheet.polygon([(x + reach * cos(angle), y + reach * sin(angle)) for reach, angle in corners], color, INK)
    for (x, y), name in zip(places.tolist(), level.classes, strict=True):
        name = shorten(name, 180, STAR_NAME)
        length, aside = font(STAR_NAME, name).getlength(name), STAR + 4
        for left, middle in (
            (x + aside, y),
            (x - aside - length, y),
            (x - length / 2, y - 18),
            (x - length / 2, y + 18),
        ):
            box = (left, middle - 8, left + length, middle + 8)
            if left + length < end and not any(_overlap(box, other) for other in named):
                named.append(box)
                sheet.text((left, middle + 5), name, STAR_NAME, INK, halo=True)
                break


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _counts(level: Level | None, count: int) -> str:
    if level is None:
        return f"a sample of {count:,}"
    known = level.labels[level.labels >= 0]
    classes = f"{len(np.unique(known))} classes"
    unlabeled = count - len(known)
    return f"{classes}, {unlabeled:,} images unlabeled (gray)" if unlabeled else classes


def _color(level: Level, i: int) -> Color:
    return level.colors[level.labels[i]] if level.labels[i] >= 0 else UNKNOWN


class _Legend:
    """The classes of a level that have images, side by side where one class of the coarser level holds them."""

    def __init__(self, level: Level) -> None:
        self.level = level
        present: Iterable[int] = np.unique(level.labels[level.labels >= 0]).tolist()
        self.classes = sorted(present, key=lambda k: (level.parents[k] if level.parents else 0, k))
        self.line, self.letters = (26, 15) if len(self.classes) <= FEW else (21, 13)
        names = [level.classes[k] for k in self.classes]
        longest = max((font(self.letters, name).getlength(name) for name in names), default=0)
        self.columns = min(5, max(2, int(PANEL / (longest + 36))))
        self.shown = len(self.classes) <= MANY
        self.rows = ceil(len(self.classes) / self.columns) if self.shown else 1
        self.above = 18 + 24 * bool(level.color_note)
        self.height = self.above + self.rows * self.line if self.classes else 0

    def draw(self, sheet: Surface, at: Place) -> None:
        """Column by column, so that those of one parent stand below each other."""
        x, y = at[0], at[1] + self.above
        if self.level.color_note:
            sheet.text((x, at[1] + 28), self.level.color_note, 13, MUTED)
        if not self.shown:
            sheet.text((x, y + 14), f"{len(self.classes)} classes are too many to name here", self.letters, MUTED)
            return
        step = PANEL / self.columns
        for place, k in enumerate(self.classes):
            left, line = x + place // self.rows * step, y + place % self.rows * self.line
            sheet.box((left, line), (12, 12), fill=self.level.colors[k])
            name = shorten(self.level.classes[k], step - 30, self.letters)
            sheet.text((left + 19, line + 11), name, self.letters, INK)
