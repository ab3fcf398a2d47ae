"""Texts in pictures: cut to their width, and legible whatever language class names are in."""

import pytest
from PIL import Image, ImageDraw

from coarsecon.pictures import draw
from coarsecon.pictures.draw import INK, NOWHERE, OTHERS, font, shorten, write


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any font but Pillow's own."""
    monkeypatch.setattr(draw, "_installed", lambda: ())


def drawn(text: str) -> bytes:
    sheet = Image.new("RGB", (120, 30), "white")
    write(ImageDraw.Draw(sheet), (2, 2), text, 14, INK)
    return sheet.tobytes()


def test_long_text_is_cut_to_its_width() -> None:
    cut = shorten("a name that goes on and on\nand on", 80, 14)
    assert cut.endswith("…")
    assert font(14).getlength(cut) <= 80
    assert shorten("short", 80, 14) == "short"


@pytest.mark.usefixtures("alone")
def test_a_letter_that_no_font_has_loses_its_accent_rather_than_becoming_a_box() -> None:
    assert shorten("Äpfel à Köln", 200, 14) == "Apfel a Koln"
    assert drawn("Äpfel") == drawn("Apfel")


def test_accents_that_file_names_keep_apart_are_drawn_as_one_letter() -> None:
    assert drawn("A\u0308pfel") == drawn("Äpfel")


def test_names_beyond_ascii_are_drawn_with_a_font_that_has_their_letters() -> None:
    if not draw._installed():
        pytest.skip(f"none of {', '.join(OTHERS)} is installed")
    assert shorten("Äpfel", 200, 14) == "Äpfel"
    assert drawn("Äpfel") not in (drawn("Apfel"), drawn(f"{NOWHERE}pfel"))
    assert font(14, "Äpfel") is not font(14, "plain")


def test_plain_names_look_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    here = drawn("Plain, 0.95 (12 %)…")
    monkeypatch.setattr(draw, "_installed", lambda: ())
    assert drawn("Plain, 0.95 (12 %)…") == here
