"""Texts in pictures: cut to their width, and legible whatever language class names are in."""

import pytest
from PIL import Image, ImageDraw

from coarsecon.pictures import draw
from coarsecon.pictures.draw import CJK_FONTS, FONT, INK, font, shorten, write

MISSING = "\uffff"
"""No font has this letter, so that it shows how a font draws those it lacks."""


def drawn(text: str) -> bytes:
    sheet = Image.new("RGB", (120, 30), "white")
    write(ImageDraw.Draw(sheet), (2, 2), text, 14, INK)
    return sheet.tobytes()


def test_long_text_is_cut_to_its_width() -> None:
    cut = shorten("a name that goes on and on\nand on", 80, 14)
    assert cut.endswith("…")
    assert font(14).getlength(cut) <= 80
    assert shorten("short", 80, 14) == "short"


def test_accents_that_file_names_keep_apart_are_drawn_as_one_letter() -> None:
    assert drawn("A\u0308pfel") == drawn("Äpfel")


@pytest.mark.parametrize("text", ["Äpfel", "Яблоки", "Μήλα", "jabłka"])
def test_names_in_european_letters_look_the_same_on_every_machine(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = drawn(MISSING * len(text))
    monkeypatch.setattr(draw, "_installed", lambda: pytest.fail("looked for fonts of this machine"))
    assert shorten(text, 200, 14) == text
    assert drawn(text) not in (boxes, drawn("Apfel"))
    assert font(14, text) is font(14, "plain")


def test_chinese_names_are_drawn_with_a_font_that_has_their_letters() -> None:
    if not draw._installed():
        pytest.skip(f"none of {', '.join(CJK_FONTS)} is installed")
    assert font(14, "苹果") is not font(14, "plain")
    assert drawn("苹果") != drawn(MISSING * 2)
    assert draw.families("苹果")[0] == FONT
