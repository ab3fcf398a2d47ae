"""Map of features as a picture: a panel for each level of labels, and one with a sample of the images in place."""

import json
from io import BytesIO
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coarsecon.pictures.draw import INK, MUTED, PAPER, WELL, Color, css, families, font, shorten
from coarsecon.pictures.images import fit
from coarsecon.pictures.origin import NAME, Origin
from coarsecon.report.feature_map import FeatureMap, Level, spread
from coarsecon.report.palette import UNKNOWN
from coarsecon.runtime.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL, MARGIN, HEAD = 760, 40, 92
"""Sizes in pixels: a panel, the space around it, and the titles above it."""
DPI = 100
FEW_CLASSES, MAX_CLASSES = 20, 120
"""Classes of a legend in large letters, and of a legend at all."""
TILE, FRAME = 42, 2
"""Longer side of an image on the map, and the width of its frame, in pixels."""
OPACITY = 0.8
LABEL_SIZE = 13

STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # class names are no formulas
    "svg.fonttype": "none",
    "svg.hashsalt": "coarsecon",  # the same map gives the same bytes
    "image.composite_image": False,
}


def write_map_png(path: Path | str, drawn: FeatureMap, *, origin: Origin | None = None) -> None:
    """Write the map as a PNG, with a legend of the classes unless there are too many."""
    atomic_write(path, _draw(drawn, "png", {"Software": None, NAME: None if origin is None else json.dumps(origin)}))


def write_map_svg(path: Path | str, drawn: FeatureMap, *, origin: Origin | None = None) -> None:
    """Write the map as an SVG that contains its images."""
    about = None if origin is None else json.dumps({NAME: origin})
    atomic_write(path, _draw(drawn, "svg", {"Creator": None, "Date": None, "Description": about}))


def _draw(drawn: FeatureMap, kind: str, metadata: dict[str, Any]) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure

    width = MARGIN + (len(drawn.levels) + 1) * (PANEL + MARGIN)
    height = HEAD + MARGIN + PANEL + max((_Legend(level).height for level in drawn.levels), default=0) + MARGIN
    names = "".join([drawn.title, *(name for level in drawn.levels for name in [level.name, *level.classes])])
    with matplotlib.rc_context({**STYLE, "font.family": families(names)}):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)

        def write(x: float, y: float, text: str, size: int, color: Color) -> None:
            figure.text(x / width, 1 - y / height, text, fontsize=_points(size), color=css(color))

        write(MARGIN, MARGIN + 22, shorten(_printable(drawn.title), width - 2 * MARGIN, 28), 28, INK)
        for column, level in enumerate([*drawn.levels, None]):
            left, top = MARGIN + column * (PANEL + MARGIN), HEAD + MARGIN
            head = _printable(level.name) if level else "images"
            write(left, top - 14, head, 20, INK)
            write(left + font(20, head).getlength(head) + 16, top - 14, _counts(level, len(drawn)), 15, MUTED)
            box = (left / width, 1 - (top + PANEL) / height, PANEL / width, PANEL / height)
            axes = figure.add_axes(box, xlim=(0, PANEL), ylim=(PANEL, 0), xticks=[], yticks=[])
            axes.spines[:].set_color(css(WELL))
            places = _on_panel(drawn.points)
            if level is None:
                _draw_images(axes, drawn, places)
                continue
            # Unlabeled images first, the others in mixed order, so that no class hides the rest.
            order = np.random.default_rng(0).permutation(len(places))
            order = order[np.argsort(level.labels[order] >= 0, kind="stable")]
            _dots(axes, places[order], [css(_color(level, i)) for i in order.tolist()], OPACITY)
            _Legend(level).draw(axes)
            if drawn.weights and drawn.weights.level == level.name:
                _draw_class_weights(axes, _on_panel(drawn.weights.points), level)
        stream = BytesIO()
        figure.savefig(stream, format=kind, metadata=metadata)
    return stream.getvalue()


def _dots(axes: "Axes", places: NDArray[np.float64], colors: Any, opacity: float) -> None:
    radius = min(6.0, max(1.8, PANEL * 0.16 / sqrt(len(places))))
    axes.scatter(places[:, 0], places[:, 1], s=_points(2 * radius) ** 2, c=colors, alpha=opacity, linewidths=0)


def _draw_images(axes: "Axes", drawn: FeatureMap, places: NDArray[np.float64]) -> None:
    """Draw images that do not overlap, framed in the color of the coarsest level, over all points in gray."""
    from matplotlib.patches import Rectangle

    _dots(axes, places, css(UNKNOWN), OPACITY / 2)
    for i in spread(places, TILE + 2 * FRAME + 2):
        image = fit(drawn.pixels(i), TILE)
        width, height = (length * TILE / max(image.size) for length in image.size)
        left, top = places[i] - (width / 2, height / 2)
        color = _color(drawn.levels[0], i) if drawn.levels else UNKNOWN
        frame = Rectangle(
            (left - FRAME, top - FRAME), width + 2 * FRAME, height + 2 * FRAME, color=css(color), zorder=3
        )
        axes.add_patch(frame)
        axes.imshow(image, extent=(left, left + width, top + height, top), aspect="auto", zorder=4)
    axes.set(xlim=(0, PANEL), ylim=(PANEL, 0))


def _draw_class_weights(axes: "Axes", places: NDArray[np.float64], level: Level) -> None:
    """Draw a star for each class, with its name where it overlaps no other name and stays on the panel."""
    colors = [css(color) for color in level.colors]
    axes.scatter(places[:, 0], places[:, 1], s=_points(20) ** 2, c=colors, marker="*", edgecolors=css(INK), zorder=5)
    taken: list[tuple[float, float, float, float]] = []
    for (x, y), name in zip(places.tolist(), level.classes, strict=True):
        name = shorten(_printable(name), 180, LABEL_SIZE)
        length, aside = font(LABEL_SIZE, name).getlength(name), 13
        spots = ((x + aside, y), (x - aside - length, y), (x - length / 2, y - 18), (x - length / 2, y + 18))
        for left, middle in spots:
            box = (left, middle - 8, left + length, middle + 8)
            if 0 < left < PANEL - length and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                ground = {"facecolor": css(PAPER), "alpha": 0.75, "pad": 0.8, "linewidth": 0}
                axes.text(left, middle, name, fontsize=_points(LABEL_SIZE), va="center", bbox=ground, zorder=6)
                break


class _Legend:
    """Classes of a level that have images, those of one coarser class next to each other."""

    def __init__(self, level: Level) -> None:
        self.level = level
        present: list[int] = np.unique(level.labels[level.labels >= 0]).tolist()
        self.classes = sorted(present, key=lambda k: (level.parents[k] if level.parents else 0, k))
        self.size = 15 if len(self.classes) <= FEW_CLASSES else 13
        names = [level.classes[k] for k in self.classes]
        longest = max((font(self.size, name).getlength(name) for name in names), default=0)
        self.columns = min(5, max(2, int(PANEL / (longest + 44))))
        rows = ceil(len(self.classes) / self.columns) if len(self.classes) <= MAX_CLASSES else 1
        self.above = 12 + 24 * bool(level.color_note)
        self.height = self.above + rows * 1.75 * self.size + 10 if self.classes else 0

    def draw(self, axes: "Axes") -> None:
        """Draw it below the panel, column by column."""
        from matplotlib.patches import Patch

        text: dict[str, Any] = {"color": css(MUTED), "transform": axes.transAxes}
        if self.level.color_note:
            axes.text(0, -28 / PANEL, self.level.color_note, fontsize=_points(13), **text)
        if len(self.classes) > MAX_CLASSES:
            about = f"{len(self.classes)} classes are too many to name here"
            axes.text(0, -(self.above + 14) / PANEL, about, fontsize=_points(self.size), **text)
            return
        room = PANEL / self.columns - 40
        axes.legend(
            handles=[Patch(color=css(self.level.colors[k])) for k in self.classes],
            labels=[shorten(_printable(self.level.classes[k]), room, self.size) for k in self.classes],
            ncols=self.columns, loc="upper left", bbox_to_anchor=(0, -self.above / PANEL), frameon=False,
            fontsize=_points(self.size), labelcolor=css(INK), borderpad=0, borderaxespad=0, labelspacing=0.5,
            handlelength=0.8, handleheight=0.8, handletextpad=0.5,
        )  # fmt: skip


def _on_panel(points: NDArray[np.float64]) -> NDArray[np.float64]:
    inset = TILE / 2 + 6
    return inset + points * (PANEL - 2 * inset)


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


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)  # XML has no control characters


def _points(pixels: float) -> float:
    return pixels * 72 / DPI
