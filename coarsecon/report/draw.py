"""Text and colours for the pictures drawn with Pillow."""

from PIL import ImageFont

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER: Colour = (255, 255, 255)
WELL: Colour = (240, 239, 236)
INK: Colour = (29, 29, 27)
MUTED: Colour = (107, 106, 102)
MARKS: dict[str, Colour] = {"right": (0, 121, 90), "near": (178, 106, 0), "wrong": (194, 54, 43)}


def font(size: int) -> Font:
    """Pillow's own font, so that a picture looks the same on every machine."""
    return ImageFont.load_default(size)


def shorten(text: str, width: float, face: Font) -> str:
    """`text` on one line, cut with an ellipsis where it is wider than `width` pixels."""
    text = " ".join(text.split())
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
