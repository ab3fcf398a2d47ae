"""The report in a browser: all its sections, its switches, on any screen, and nothing fetched."""

import shutil

import numpy as np
import pytest

from coarsecon.pictures.rows import GalleryRow, Neighbor, Picture
from coarsecon.report.gallery import write_gallery
from coarsecon.run.spec import Runtime
from coarsecon.run.storing import store_result

ONE, TWO = (f"{name}{'_with_a_long_name' * 6}" for name in ("one", "two"))
"""Without a place where a line would break."""


@pytest.fixture(scope="module")
def report_page(tiny_run, tmp_path_factory):
    """The report of two runs that have results of their own."""
    from coarsecon.report.run_report import write_report
    from coarsecon.report.summary import Summary
    from coarsecon.run.facade import Run
    from coarsecon.run.folder import RunFolder
    from coarsecon.runtime.progress import Reporter

    root = tmp_path_factory.mktemp("report")
    runs = []
    for name, recall in ((ONE, 0.4), (TWO, 0.9)):
        shutil.copytree(tiny_run, root / name, ignore=shutil.ignore_patterns("results"))
        run = RunFolder(root / name)
        session = Run(run, None, runtime=Runtime("cpu", 0, Reporter()))
        session.features("test")
        part = {"recall@1": recall, "queries": 48, "grid": [{"k": 1, "top1": recall}]}
        store_result(session, "mine", "test", {"fine": part, "coarse": {"recall@1": 0.9, "queries": 48}})
        runs.append(run)
    config = root / TWO / "config.yaml"
    config.write_text(config.read_text().replace("momentum: 0.99", "momentum: 0.98"))
    summary = Summary(runs, Reporter())
    write_report(root / "page.html", summary.reports, summary.comparison, title=f"Report of {ONE}, {TWO}")
    return root / "page.html"


def test_sections_stand_and_links_lead_to_them(report_page, open_page):
    with open_page(report_page) as page:
        names = page.locator(".report > section > h2").all_inner_texts()
        assert names == ["Comparison", "Curves", "Results", "Pictures", "Gallery", "Map", "Settings", "Environment"]
        page.get_by_role("link", name="Settings").click()
        assert page.locator("#settings h2").bounding_box()["y"] < 400
        assert page.locator(".chart svg path").count() > 4
        assert page.locator(".map canvas").first.is_visible()


def test_switches_hide_what_they_say(report_page, open_page):
    with open_page(report_page) as page:
        rows = page.locator(".comparison tr:not(.group):visible")
        before = rows.count()
        page.get_by_label("only rows with more than chance").check()
        assert rows.count() == before - 1  # the coarse recall is the same in both
        settings = page.locator(".settings").first.locator("tr:visible")
        page.get_by_label("only what differs").check()
        assert settings.count() == 2
        line = page.locator('.chart [data-series="1"]').first
        assert line.is_visible()
        page.locator(".legend").get_by_label(TWO).uncheck()
        assert not line.is_visible()
        assert page.locator('.chart [data-series="0"]').first.is_visible()
        page.get_by_text("fine grid").click()
        assert page.locator("details table").first.is_visible()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (420, "dark")])
def test_it_fits_the_screen(report_page, open_page, width, scheme):
    with open_page(report_page, color_scheme=scheme) as page:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        style = "getComputedStyle(document.body)"
        ground, text = page.evaluate(f"[{style}.backgroundColor, {style}.color]")
        assert ground != text
        page.emulate_media(media="print")
        assert not page.locator(".switch").first.is_visible()


def test_the_page_tells_its_numbers(report_page, open_page):
    with open_page(report_page) as page:
        assert "90.00" in page.locator("#comparison").inner_text()
        assert page.locator(".verdict.above").count() == 1


def test_the_gallery_shows_heat_maps_when_asked(tiny_run, open_page, coarsecon, tmp_path):
    done = coarsecon("retrieve", tiny_run, "--html", tmp_path / "g.html", "--heat", "--top-k", 3, "--device", "cpu")
    assert done.code == 0, done.err
    with open_page(tmp_path / "g.html") as page:
        heat = page.locator("img.heat").first
        assert not heat.is_visible()
        page.get_by_label("heat maps of the embedding").check()
        assert heat.is_visible()
        assert page.locator(".scale").is_visible()


def test_a_gallery_of_long_paths_fits_a_narrow_screen(open_page, tmp_path):
    path = f"/home/somebody/{'a_folder_with_a_long_name' * 6}/1.png"
    picture = Picture(np.zeros((24, 32, 3), np.uint8), path)
    rows = [GalleryRow(picture, [Neighbor(picture, 0.9)] * 10)]
    write_gallery(tmp_path / "g.html", rows, title="Nearest images", subtitle=path)
    with open_page(tmp_path / "g.html") as page:
        page.set_viewport_size({"width": 420, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        asked = page.locator(".query .name")
        assert asked.inner_text() == path
        assert asked.evaluate("one => one.scrollWidth <= one.clientWidth"), "whole, not cut"
