"""Text and colors for the pictures drawn with Pillow."""

import math
import unicodedata
from functools import cache

from PIL import ImageDraw, ImageFont

Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER: Color = (255, 255, 255)
WELL: Color = (240, 239, 236)
INK: Color = (29, 29, 27)
MUTED: Color = (107, 106, 102)
MARKS: dict[str, Color] = {"right": (0, 121, 90), "near": (178, 106, 0), "wrong": (194, 54, 43)}

OWN = ""
OTHERS = (
    *("LiberationSans-Regular.ttf", "Arial.ttf", "NotoSans-Regular.ttf", "DejaVuSansCondensed.ttf", "DejaVuSans.ttf"),
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "Arial Unicode.ttf", "Hiragino Sans GB.ttc"),
    *("msyh.ttc", "msgothic.ttc", "malgun.ttf"),
)
"""Files of fonts that systems bring, those of a look like `OWN`'s first, then those that know most letters."""
NOWHERE = "\uffff"
"""No font has this letter, so that it shows how a font draws those it lacks."""


def font(size: int, text: str = "") -> Font:
    """The font for a text: Pillow's own, so that a picture looks the same on every machine; for what that cannot write,
    which is all but ASCII, the font of this machine that lacks the fewest letters."""
    names = (OWN,) if not _lacking(OWN, text) else (OWN, *_installed())
    return _load(min(names, key=lambda name: _lacking(name, text)), size)


def shorten(text: str, width: float, size: int) -> str:
    """`text` on one line as this machine can write it, cut with an ellipsis where it is wider than `width` pixels.

    Accents are left out where no font has the letter with its accent.
    """
    text = unicodedata.normalize("NFC", " ".join(text.split()))  # file names may come with accents as letters
    if _lacking(OWN, text):
        fonts = (OWN, *_installed())
        text = "".join(_without_accent(a) if all(_lacking(name, a) for name in fonts) else a for a in text)
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


def _without_accent(letter: str) -> str:
    return unicodedata.normalize("NFKD", letter)[0]


def _lacking(name: str, text: str) -> int:
    """How many letters of a text a font cannot draw."""
    return sum(not _draws(name, letter) for letter in text)


@cache
def _draws(name: str, letter: str) -> bool:
    face = _load(name, 12)
    return bytes(face.getmask(letter)) != bytes(face.getmask(NOWHERE))


@cache
def _installed() -> tuple[str, ...]:
    return tuple(name for name in OTHERS if _exists(name))


def _exists(name: str) -> bool:
    try:
        ImageFont.truetype(name)
    except OSError:
        return False
    return True


@cache
def _load(name: str, size: int) -> Font:
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
