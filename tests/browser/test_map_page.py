"""The map in a browser: zoom, the image under the pointer, classes shown alone, and what a lasso picks."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from coarsecon.report.feature_map import FeatureMap, feature_map
from coarsecon.report.map_page import map_fragment, write_map_html
from coarsecon.report.page import Fragment, page

SIDE = 6
"""Point i lies at (i % SIDE, i // SIDE) of a grid; it is of fine class i % 18 and of coarse class i % 3."""
COARSE = ["pears", "milk", "tea"]
FINE = [f"kind {i}" for i in range(18)]
NAMES = [f"{i}.jpg" for i in range(SIDE * SIDE)]
NAMES[7], NAMES[8] = '=HYPERLINK("http://evil.example")', '@sum, "quoted"\nand broken'
COLORS = np.random.default_rng(0).integers(60, 200, (SIDE * SIDE, 3), dtype=np.uint8)


def grid_map(**more: Any) -> FeatureMap:
    count = np.arange(SIDE * SIDE)
    return feature_map(
        np.stack([count % SIDE, count // SIDE], 1),
        lambda i: np.broadcast_to(COLORS[i], (32, 32, 3)),
        {"coarse": (count % 3, COARSE), "fine": (np.where(count == 35, -1, count % 18), FINE)},
        **{"title": "Grid", "names": NAMES, **more},
    )


class Driven:
    """A map on an open page."""

    def __init__(self, page: Any, root: Any) -> None:
        self.page, self.root = page, root
        self.box = root.locator(".plane").bounding_box()
        self.span = min(self.box["width"], self.box["height"]) - 56

    def place(self, column: float, row: float) -> tuple[float, float]:
        """Where a place of the grid is in the window as long as nothing was moved."""
        x, y = (value / (SIDE - 1) - 0.5 for value in (column, row))
        middle = self.box["x"] + self.box["width"] / 2, self.box["y"] + self.box["height"] / 2
        return middle[0] + x * self.span, middle[1] + y * self.span

    def tip(self, i: int) -> str | None:
        """What is told of the place where point i was at first."""
        self.page.mouse.move(*self.place(i % SIDE, i // SIDE))
        tip = self.root.locator(".tip")
        return tip.inner_text() if tip.is_visible() else None

    def draw(self, *corners: tuple[float, float]) -> None:
        """Drag the pointer along the corners, in places of the grid."""
        self.page.mouse.move(*self.place(*corners[0]))
        self.page.mouse.down()
        for corner in corners[1:]:
            self.page.mouse.move(*self.place(*corner), steps=3)
        self.page.mouse.up()

    def status(self, part: str) -> str:
        return self.root.locator(f".{part} p").inner_text()

    def saved(self) -> list[dict[str, str]]:
        """The rows of the CSV that the page offers."""
        with self.page.expect_download() as download:
            self.root.locator(".save").click()
        assert download.value.suggested_filename == "picked.csv"
        return list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8"), newline="")))

    def color(self, i: int) -> np.ndarray:
        """What is painted where point i was at first."""
        x, y = self.place(i % SIDE, i // SIDE)
        shot = self.page.screenshot(clip={"x": x - 1, "y": y - 1, "width": 3, "height": 3})
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))[1, 1].astype(int)


@pytest.fixture
def open_map(open_page, tmp_path):
    @contextmanager
    def opened(drawn: FeatureMap | None = None, **options: Any) -> Iterator[Driven]:
        write_map_html(tmp_path / "map.html", drawn or grid_map())
        with open_page(tmp_path / "map.html", **options) as page:
            yield Driven(page, page.locator(".map"))

    return opened


def test_the_image_under_the_pointer_is_shown_with_its_labels(open_map):
    with open_map() as driven:
        assert driven.tip(8).split("\n")[:2] == ["tea", "kind 8"]
        assert driven.tip(35).split("\n") == ["tea", "fine unknown", "35.jpg"]
        assert driven.tip(10).split("\n") == ["milk", "kind 10", "10.jpg"]
        picture = driven.root.locator(".tip canvas").bounding_box()
        shot = driven.page.screenshot(clip={"x": picture["x"] + 40, "y": picture["y"] + 40, "width": 4, "height": 4})
        shown = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))[0, 0].astype(int)
        assert np.abs(shown - COLORS[10]).max() < 12
        driven.page.mouse.move(*driven.place(0.5, 0.5))
        assert not driven.root.locator(".tip").is_visible()


def test_the_wheel_zooms_about_the_pointer_and_the_buttons_about_the_middle(open_map):
    with open_map() as driven:
        assert driven.tip(0)
        driven.page.mouse.wheel(0, -600)
        assert "0.jpg" in driven.tip(0)
        assert driven.tip(7) is None
        driven.root.get_by_role("button", name="Reset").click()
        assert "evil.example" in driven.tip(7)
        driven.root.get_by_role("button", name="Zoom in").click()
        assert driven.tip(7) is None
        driven.root.get_by_role("button", name="Zoom out").click()
        assert "evil.example" in driven.tip(7)


def test_dragging_and_keys_move_the_map(open_map):
    with open_map() as driven:
        driven.draw((1, 1), (2, 2))
        assert "evil.example" in driven.tip(14)  # point 7 was moved there
        driven.root.locator(".plane").press("0")
        assert "14.jpg" in driven.tip(14)
        driven.root.locator(".plane").press("ArrowRight")
        assert driven.tip(14) is None
        driven.root.locator(".plane").press("ArrowLeft")
        assert "14.jpg" in driven.tip(14)


def test_classes_are_shown_alone_and_fine_ones_within_a_coarse_one(open_map):
    with open_map() as driven:
        assert driven.root.locator(".classes button").all_inner_texts() == ["pears\n12", "milk\n12", "tea\n12"]
        driven.root.get_by_role("button", name="milk").click()
        assert driven.status("filter") == "12 of 36 images shown"
        assert driven.tip(6) is None
        assert "10.jpg" in driven.tip(10)
        driven.root.get_by_label("fine").check()
        assert driven.root.locator(".classes > li").count() == 3
        within = driven.root.locator(".classes > li").nth(1)
        assert within.locator("li span").all_inner_texts() == [f"kind {i}" for i in range(1, 18, 3)]
        within.get_by_role("button", name="kind 10").click()  # narrower than milk
        assert driven.status("filter") == "2 of 36 images shown"
        within.get_by_role("button", name="kind 13").click()
        assert driven.status("filter") == "4 of 36 images shown"
        within.get_by_role("button", name="milk").click()  # wider again
        assert driven.status("filter") == "12 of 36 images shown"
        assert within.locator("[aria-pressed=true]").count() == 1
        driven.root.get_by_role("button", name="Show all").click()
        assert driven.tip(6)


def test_a_class_can_be_searched_where_there_are_many(open_map):
    with open_map() as driven:
        search = driven.root.get_by_label("Find a class")
        assert not search.is_visible()
        driven.root.get_by_label("fine").check()
        search.fill("Kind 1")
        assert driven.root.locator(".classes li li:visible span").all_inner_texts() == [
            f"kind {i}" for i in (12, 15, 1, 10, 13, 16, 11, 14, 17)
        ]
        search.fill("milk")
        assert driven.root.locator(".classes li li:visible").count() == 6
        search.fill("nothing")
        assert driven.root.locator(".classes li:visible").count() == 0


def test_the_csv_holds_exactly_what_the_lasso_goes_around(open_map):
    with open_map() as driven:
        assert not driven.root.locator(".save").is_visible()
        driven.root.get_by_role("button", name="Lasso").click()
        driven.draw((0.5, 0.5), (2.5, 0.5), (2.5, 1.5), (0.5, 1.5))
        assert driven.status("picked") == "2 images picked"
        assert driven.saved() == [
            {"index": "7", "name": "'" + NAMES[7], "coarse": "milk", "fine": "kind 7"},
            {"index": "8", "name": "'" + NAMES[8], "coarse": "tea", "fine": "kind 8"},
        ]
        driven.draw((4.5, 4.5), (5.5, 4.5), (4.5, 5.3))  # whose long side passes point 35 by
        assert driven.status("picked").startswith("Pick images")
        driven.draw((4.5, 4.5), (5.5, 4.5), (5.5, 5.3), (4.5, 5.3))
        assert [(row["index"], row["fine"]) for row in driven.saved()] == [("35", "")]


def test_a_csv_beyond_ascii_begins_with_the_mark_that_spreadsheets_look_for(open_map):
    with open_map(grid_map(names=[f"Äpfel/{name}" for name in NAMES])) as driven:
        driven.root.get_by_role("button", name="Pick all in view").click()
        first = driven.saved()[0]
        assert first["\ufeffindex"] == "0"
        assert first["name"] == "Äpfel/0.jpg"


def test_shift_adds_to_what_is_picked_and_only_what_is_shown_can_be(open_map):
    with open_map() as driven:
        driven.root.get_by_role("button", name="pears").click()
        driven.page.keyboard.down("Shift")
        driven.draw((-0.2, -0.2), (1.4, -0.2), (1.4, 1.4), (-0.2, 1.4))
        driven.draw((2.6, -0.2), (3.4, -0.2), (3.4, 0.4), (2.6, 0.4))
        driven.page.keyboard.up("Shift")
        assert [row["index"] for row in driven.saved()] == ["0", "3", "6"]
        driven.root.get_by_role("button", name="Unpick").click()
        driven.root.get_by_role("button", name="Pick all in view").click()
        assert driven.status("picked") == "12 images picked"
        assert {row["coarse"] for row in driven.saved()} == {"pears"}


def test_a_hole_in_a_lasso_is_outside(open_map):
    with open_map() as driven:
        driven.root.get_by_role("button", name="Lasso").click()
        outer = ((-0.2, -0.2), (2.4, -0.2), (2.4, 2.4), (-0.2, 2.4))
        inner = ((0.6, 0.6), (1.4, 0.6), (1.4, 1.4), (0.6, 1.4))
        driven.draw(*outer, outer[0], *inner, inner[0], outer[0])
        assert [row["index"] for row in driven.saved()] == ["0", "1", "2", "6", "8", "12", "13", "14"]


def test_images_lie_on_the_map_when_they_are_asked_for(open_map):
    with open_map() as driven:
        before = driven.color(8)
        driven.root.get_by_label("Images", exact=True).check()
        driven.page.wait_for_timeout(150)
        assert np.abs(driven.color(8) - COLORS[8]).max() < 12
        assert np.abs(before - COLORS[8]).max() >= 12
        assert "kind 8" in driven.tip(8)


def test_class_weights_are_stars_that_can_be_hidden(open_map):
    places = [[0.5, 0.5], [2.5, 2.5], [4.5, 4.5]]
    with open_map(grid_map(weights=(places, "coarse"))) as driven:
        driven.page.mouse.move(*driven.place(2.5, 2.5))
        assert driven.root.locator(".tip").inner_text().split("\n") == ["milk", "class weight"]
        driven.root.get_by_role("button", name="pears").click()
        driven.page.mouse.move(*driven.place(2.5, 2.5))
        assert not driven.root.locator(".tip").is_visible()
        driven.page.mouse.move(*driven.place(0.5, 0.5))
        assert "pears" in driven.root.locator(".tip").inner_text()
        driven.root.get_by_label("Class weights").uncheck()
        driven.page.mouse.move(*driven.place(0.6, 0.5))
        assert not driven.root.locator(".tip").is_visible()


def test_a_map_without_labels_says_so(open_map):
    with open_map(feature_map([[0, 0], [1, 1]], lambda i: np.zeros((8, 8, 3), np.uint8), {}, title="two")) as driven:
        assert driven.status("filter") == "No labels are known."
        assert not driven.root.get_by_text("Color").is_visible()
        assert not driven.root.get_by_label("Class weights").is_visible()


def test_maps_within_a_page_are_independent_and_let_the_wheel_scroll_it(open_page, tmp_path):
    parts = [map_fragment(grid_map(title=title)) for title in ("one", "two")]
    (tmp_path / "two.html").write_bytes(page("Two", Fragment(Markup("<h1>Two</h1>")), *parts))
    with open_page(tmp_path / "two.html") as opened:
        first, second = opened.locator(".map").all()
        first.get_by_role("button", name="milk").click()
        assert "12 of 36" in first.locator(".filter p").inner_text()
        assert "Choose" in second.locator(".filter p").inner_text()
        driven = Driven(opened, first)
        assert driven.tip(10)
        opened.mouse.wheel(0, 300)
        opened.wait_for_timeout(200)
        assert opened.evaluate("scrollY") > 200
        first.locator(".plane").focus()
        opened.evaluate("scrollTo(0, 0)")
        assert driven.tip(10)
        opened.mouse.wheel(0, -600)
        opened.wait_for_timeout(50)
        assert opened.evaluate("scrollY") == 0
        assert driven.tip(13) is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_keeps_everything_within_reach(open_map, scheme):
    with open_map(color_scheme=scheme) as driven:
        driven.page.set_viewport_size({"width": 420, "height": 800})
        for name in ("Lasso", "Reset", "milk", "Pick all in view"):
            box = driven.root.get_by_role("button", name=name).bounding_box()
            assert 0 <= box["x"] <= box["x"] + box["width"] <= 420
        assert driven.page.evaluate("document.documentElement.scrollWidth") <= 420
        assert driven.root.locator(".plane").bounding_box()["height"] > 250


def test_ten_thousand_points_stay_smooth(open_map):
    rng = np.random.default_rng(0)
    fine = rng.integers(0, 100, 10_000)
    points = rng.normal(size=(100, 2))[fine] * 4 + rng.normal(size=(10_000, 2))
    images = rng.integers(0, 256, (100, 32, 32, 3), dtype=np.uint8)
    levels = {"coarse": (fine // 5, list(map(str, range(20)))), "fine": (fine, list(map(str, range(100))))}
    frames = """async () => {
      const plane = document.querySelector(".plane");
      for (let k = 0; k < 12; k++) {
        plane.dispatchEvent(new WheelEvent("wheel", { deltaY: k < 6 ? -40 : 40, clientX: 500, clientY: 400 }));
        plane.dispatchEvent(new PointerEvent("pointermove", { clientX: 300 + 25 * k, clientY: 400 }));
        await new Promise(requestAnimationFrame);
      }
    }"""
    with open_map(feature_map(points, lambda i: images[fine[i]], levels, title="many")) as driven:
        clock = driven.page.context.new_cdp_session(driven.page)
        clock.send(
            "Performance.enable", {"timeDomain": "threadTicks"}
        )  # processor time, whatever else the machine does

        def milliseconds_a_frame() -> float:
            driven.page.evaluate(frames)  # once for the compiler
            times = []
            for _ in range(2):
                metrics = clock.send("Performance.getMetrics")["metrics"]
                times.append(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))
                driven.page.evaluate(frames)
            return (times[1] - times[0]) * 1000 / 12

        driven.root.get_by_label("fine").check()
        assert milliseconds_a_frame() < 40
        driven.root.get_by_label("Images", exact=True).check()
        assert milliseconds_a_frame() < 40
