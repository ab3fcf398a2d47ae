"""Text and colors of the pictures drawn with Pillow and matplotlib."""

import math
import unicodedata
from functools import cache
from pathlib import Path

from PIL import ImageDraw
from PIL.ImageFont import FreeTypeFont, truetype

Color = tuple[int, int, int]

PAPER: Color = (255, 255, 255)
WELL: Color = (240, 239, 236)
INK: Color = (29, 29, 27)
MUTED: Color = (107, 106, 102)
MARKS: dict[str, Color] = {"right": (0, 121, 90), "near": (178, 106, 0), "wrong": (194, 54, 43)}

FONT = "DejaVu Sans"
"""The font that comes with matplotlib, so that pictures are the same on every machine."""
CJK_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Arial Unicode MS"),
    *("Hiragino Sans GB", "Microsoft YaHei", "MS Gothic", "Malgun Gothic"),
)
"""Fonts of systems with the Chinese, Japanese and Korean letters that `FONT` lacks."""


def font(size: int, text: str = "") -> FreeTypeFont:
    """Return `FONT`, or the installed font that lacks the fewest letters of a text that `FONT` cannot draw."""
    missing = {family: sum(ord(letter) not in _letters(family) for letter in text) for family in families(text)}
    return _load(min(missing, key=missing.__getitem__), size)


def families(text: str) -> list[str]:
    """Return `FONT`, and the installed fonts to fall back to if it lacks letters of the text."""
    return [FONT] if all(ord(letter) in _letters(FONT) for letter in text) else [FONT, *_installed()]


def shorten(text: str, width: float, size: int) -> str:
    """Return `text` on one line, cut with an ellipsis where it is wider than `width` pixels."""
    text = unicodedata.normalize("NFC", " ".join(text.split()))  # file names may come with accents as letters
    face = font(size, text)
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    color: Color,
    room: float = math.inf,
    anchor: str | None = None,
) -> None:
    """Draw `text` on one line of at most `room` pixels."""
    text = shorten(text, room, size)
    draw.text(at, text, color, font(size, text), anchor)


def css(color: Color) -> str:
    """Return a color as CSS, such as `#00795a`."""
    return "#" + bytes(color).hex()


@cache
def _installed() -> list[str]:
    from matplotlib.font_manager import fontManager

    known = set(fontManager.get_font_names())
    return [family for family in CJK_FONTS if family in known]


@cache
def _letters(family: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(_file(family)).get_charmap())


@cache
def _load(family: str, size: int) -> FreeTypeFont:
    return truetype(_file(family), size)


def _file(family: str) -> str:
    if family == FONT:
        from matplotlib import get_data_path

        return str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))
    from matplotlib.font_manager import findfont

    return str(findfont(family))
