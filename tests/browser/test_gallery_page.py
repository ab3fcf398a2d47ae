"""The gallery in a browser: it shows every image, marks tell what they mean, and the switch hides rows."""

import numpy as np
import pytest
from markupsafe import Markup

from coarsecon.pictures.rows import GalleryRow, Neighbor, Picture
from coarsecon.report.gallery import gallery_fragment, write_gallery
from coarsecon.report.page import Fragment, page


def picture(fine: str, coarse: str = "pear", side: int = 32) -> Picture:
    pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Picture(pixels, "<i>odd</i> & name.jpg", coarse, fine)


@pytest.fixture
def rows() -> list[GalleryRow]:
    """Two queries whose nearest neighbor is right and one whose is not."""
    neighbors = [Neighbor(picture("anjou"), 0.9), Neighbor(picture("bosc", side=200), 0.5)]
    return [
        GalleryRow(picture("anjou"), neighbors),
        GalleryRow(picture("anjou"), [*neighbors, Neighbor(picture("oat", "milk"), 0.1)]),
        GalleryRow(picture("oat", "milk"), neighbors),
    ]


@pytest.fixture
def gallery(rows, tmp_path):
    write_gallery(tmp_path / "g.html", rows, title="Pears & <milk>", subtitle="three queries")
    return tmp_path / "g.html"


def test_every_image_is_shown_and_names_are_text(open_page, gallery):
    with open_page(gallery) as page:
        assert page.locator("h1").inner_text() == "Pears & <milk>"
        images = page.locator("img")
        assert images.count() == 3 + 2 + 3 + 2
        assert images.evaluate_all("all => all.every(image => image.complete && image.naturalWidth > 0)")
        assert page.locator("figcaption .name").first.inner_text() == "<i>odd</i> & name.jpg"
        widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1]


def test_a_mark_under_the_pointer_tells_what_it_means(open_page, gallery):
    with open_page(gallery) as page:
        marks = page.locator(".neighbors .mark")
        marks.nth(1).hover()
        assert marks.nth(1).get_attribute("title") == "same coarse, other fine class"
        colors = marks.evaluate_all("all => all.slice(0, 2).map(mark => getComputedStyle(mark).backgroundColor)")
        assert colors[0] != colors[1]


def test_the_switch_hides_rows_that_begin_well_by_pointer_and_by_key(open_page, gallery):
    with open_page(gallery) as page:
        shown = page.locator(".row:visible")
        assert shown.count() == 3
        page.get_by_text("only queries whose nearest").click()
        assert shown.count() == 1
        assert shown.get_attribute("aria-label") == "Query 3"
        page.get_by_text("only queries whose nearest").click()
        page.locator("body").click()
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        assert shown.count() == 1


def test_a_long_path_is_cut_at_its_beginning_and_whole_on_hover(open_page, rows, tmp_path):
    path = "photos/" + "a-long-folder/" * 5 + "IMG_7.jpg"
    found = rows[0].neighbors[0]
    row = GalleryRow(rows[0].query, [found._replace(picture=found.picture._replace(name=path))])
    write_gallery(tmp_path / "g.html", [row], title="Paths")
    with open_page(tmp_path / "g.html") as page:
        name = page.locator(".neighbors .name")
        assert name.get_attribute("title") == path
        assert name.inner_text() == path
        box, text = name.bounding_box(), name.locator("bdi").bounding_box()
        assert text["width"] > box["width"]
        assert text["x"] + text["width"] == pytest.approx(box["x"] + box["width"], abs=1)


def test_two_galleries_on_a_page_do_not_meddle(open_page, rows, tmp_path):
    parts = [gallery_fragment(rows, title=title) for title in ("one", "two")]
    (tmp_path / "two.html").write_bytes(page("Two", Fragment(Markup("<h1>Two</h1>")), *parts))
    with open_page(tmp_path / "two.html") as opened:
        galleries = opened.locator(".gallery")
        galleries.nth(0).get_by_role("checkbox").check()
        assert [galleries.nth(i).locator(".row:visible").count() for i in range(2)] == [1, 3]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_needs_no_scrolling_sideways(open_page, gallery, scheme):
    with open_page(gallery, color_scheme=scheme) as page:
        page.set_viewport_size({"width": 420, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
