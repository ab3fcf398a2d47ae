"""Two sheets to draw on with the same strokes: pixels (PNG) and vectors (SVG)."""

from collections.abc import Sequence
from html import escape
from typing import Protocol

from PIL import Image, ImageDraw

from coarsecon.pictures.draw import PAPER, Color, font
from coarsecon.pictures.images import data_uri, png
from coarsecon.pictures.origin import Origin, svg_origin

SUPERSAMPLING = 3
"""Pixels are drawn so much larger and shrunk, for smooth edges."""

Place = tuple[float, float]


class Surface(Protocol):
    """A white sheet; places are (x, y) from its top left corner."""

    def text(self, at: Place, text: str, size: int, color: Color, *, halo: bool = False) -> None:
        """One line with its baseline at `at`; a halo of paper keeps it legible over dots."""

    def disc(self, center: Place, radius: float, color: Color, opacity: float) -> None:
        """A filled circle."""

    def box(self, at: Place, side: Place, *, fill: Color | None = None, line: Color | None = None) -> None:
        """A rectangle of `side` (width, height) with its top left corner at `at`."""

    def polygon(self, corners: Sequence[Place], fill: Color, line: Color) -> None:
        """A filled polygon with an outline."""

    def image(self, at: Place, image: Image.Image, side: Place) -> None:
        """An image in the rectangle of `side` (width, height) with its top left corner at `at`."""


class RasterSheet:
    """A sheet of pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self._sheet = Image.new("RGB", (width * SUPERSAMPLING, height * SUPERSAMPLING), PAPER)
        self._pen = ImageDraw.Draw(self._sheet, "RGBA")

    def text(self, at: Place, text: str, size: int, color: Color, *, halo: bool = False) -> None:
        """See `Surface`."""
        around = 2 * SUPERSAMPLING if halo else 0
        face = font(size * SUPERSAMPLING, text)
        self._pen.text(_large(at), text, color, face, "ls", stroke_width=around, stroke_fill=PAPER)

    def disc(self, center: Place, radius: float, color: Color, opacity: float) -> None:
        """See `Surface`."""
        (x, y), reach = _large(center), radius * SUPERSAMPLING
        self._pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=(*color, round(255 * opacity)))

    def box(self, at: Place, side: Place, *, fill: Color | None = None, line: Color | None = None) -> None:
        """See `Surface`."""
        (left, top), (width, height) = _large(at), _large(side)
        self._pen.rectangle((left, top, left + width - 1, top + height - 1), fill, line, SUPERSAMPLING)

    def polygon(self, corners: Sequence[Place], fill: Color, line: Color) -> None:
        """See `Surface`."""
        self._pen.polygon(list(map(_large, corners)), fill, line, round(1.5 * SUPERSAMPLING))

    def image(self, at: Place, image: Image.Image, side: Place) -> None:
        """See `Surface`."""
        width, height = (round(value) for value in _large(side))
        left, top = (round(value) for value in _large(at))
        whole = width % image.width == 0
        how = Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS
        self._sheet.paste(image.resize((width, height), how), (left, top))

    def save(self, origin: Origin | None = None) -> bytes:
        """The bytes of a PNG file."""
        return png(self._sheet.resize(self.size, Image.Resampling.BOX), origin)


class VectorSheet:
    """A sheet of SVG elements that refers to nothing outside itself."""

    def __init__(self, width: int, height: int) -> None:
        self._elements = [
            '<svg xmlns="http://www.w3.org/2000/svg" '
            f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            'font-family="Inter, Helvetica, Arial, sans-serif">',
            f'<rect width="{width}" height="{height}" fill="{_css(PAPER)}"/>',
        ]

    def text(self, at: Place, text: str, size: int, color: Color, *, halo: bool = False) -> None:
        """See `Surface`."""
        around = (
            f' stroke="{_css(PAPER)}" stroke-width="4" stroke-linejoin="round" paint-order="stroke"' if halo else ""
        )
        clean = "".join(
            letter if letter.isprintable() else "\ufffd" for letter in text
        )  # XML has no control characters
        place = f'x="{at[0]:.6g}" y="{at[1]:.6g}" font-size="{size}" fill="{_css(color)}"'
        self._elements.append(f"<text {place}{around}>{escape(clean)}</text>")

    def disc(self, center: Place, radius: float, color: Color, opacity: float) -> None:
        """See `Surface`."""
        x, y = center
        self._elements.append(
            f'<circle cx="{x:.6g}" cy="{y:.6g}" r="{radius:.3g}" fill="{_css(color)}" fill-opacity="{opacity:g}"/>'
        )

    def box(self, at: Place, side: Place, *, fill: Color | None = None, line: Color | None = None) -> None:
        """See `Surface`."""
        place = f'x="{at[0]:.6g}" y="{at[1]:.6g}" width="{side[0]:.6g}" height="{side[1]:.6g}"'
        outline = f' stroke="{_css(line)}"' if line else ""
        self._elements.append(f'<rect {place} fill="{_css(fill) if fill else "none"}"{outline}/>')

    def polygon(self, corners: Sequence[Place], fill: Color, line: Color) -> None:
        """See `Surface`."""
        points = " ".join(f"{x:.6g},{y:.6g}" for x, y in corners)
        self._elements.append(
            f'<polygon points="{points}" fill="{_css(fill)}" stroke="{_css(line)}" stroke-width="1.5"/>'
        )

    def image(self, at: Place, image: Image.Image, side: Place) -> None:
        """See `Surface`."""
        place = f'x="{at[0]:.6g}" y="{at[1]:.6g}" width="{side[0]:.6g}" height="{side[1]:.6g}"'
        self._elements.append(
            f'<image {place} style="image-rendering:pixelated" href="{data_uri("png", png(image))}"/>'
        )

    def save(self, origin: Origin | None = None) -> bytes:
        """The bytes of an SVG file."""
        return "\n".join([*self._elements, svg_origin(origin), "</svg>\n"]).encode()


def _large(place: Place) -> Place:
    return place[0] * SUPERSAMPLING, place[1] * SUPERSAMPLING


def _css(color: Color) -> str:
    return "#" + bytes(color).hex()
