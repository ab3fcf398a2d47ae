"""The page of an audit in a browser: the slider moves pairs and updates counts, and nothing is fetched."""

import numpy as np
import pytest
from PIL import Image

import coarsecon
from coarsecon.report.audit import write_audit_page


@pytest.fixture(scope="module")
def audit_page(tmp_path_factory):
    """Random images, each with copies that are more and more shifted, half of them in the test split."""
    root = tmp_path_factory.mktemp("audit")
    rng = np.random.default_rng(0)
    for i in range(20):
        coarse = rng.integers(0, 255, (6, 6, 3), np.uint8)
        image = Image.fromarray(coarse).resize((160, 160), Image.Resampling.BICUBIC)
        for shift in range(0, 16, 3):
            split = "test" if shift == 3 else "train"
            folder = root / "photos" / split / f"<i>{i % 2}<"
            folder.mkdir(parents=True, exist_ok=True)
            image.crop((shift, shift, 128 + shift, 128 + shift)).save(folder / f"{i}-{shift}.png")
    coarsecon.prepare("folder", root / "data", source=root / "photos", size=112, workers=1)
    found = coarsecon.audit(root / "data", workers=1)
    write_audit_page(root / "page.html", found, command="coarsecon data audit data --near")
    return root / "page.html", found


def test_the_slider_updates_counts_and_moves_pairs(audit_page, open_page):
    path, found = audit_page
    with open_page(path) as page:

        def state():
            within, beyond = (page.locator(f".pairs ol.{side} li") for side in ("within", "beyond"))
            return int(page.locator("#pairs").text_content().replace(",", "")), within.count(), beyond.count()

        pairs, within, beyond = state()
        assert pairs == len(found.duplicates.found) > 0
        assert within > 0
        slider = page.locator("#distance")
        slider.focus()
        page.keyboard.press("Home")
        none = state()
        assert none[0] == len(found.duplicates.pairs.within(0))
        assert none[1] < within
        assert sum(none[1:]) == within + beyond
        assert page.locator("#value").text_content() == "0"
        page.keyboard.press("End")
        assert state() == (len(found.duplicates.pairs), within + beyond, 0)
        distances = (
            page.locator(".pairs")
            .last.locator("ol.within li")
            .evaluate_all("items => items.map((item) => Number(item.dataset.distance))")
        )
        assert distances == sorted(distances, reverse=True)
        more = page.get_by_role("button", name="show all").locator("visible=true")
        before = page.locator(".pairs li:visible").count()
        more.first.click()
        assert page.locator(".pairs li:visible").count() > before


@pytest.mark.parametrize("width", [420, 1400])
def test_nothing_is_wider_than_the_window(audit_page, open_page, width):
    with open_page(audit_page[0]) as page:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert "<i>0<" in page.locator(".balance tbody").text_content()
